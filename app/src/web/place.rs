//! Where the person is: at the door, or in a room.

use super::browser::{self, Keep};
use super::context::Room;
use super::device::obstacle;
use super::door::Door;
use super::room::RoomPlace;
use crate::link::RoomLink;
use crate::names;
use crate::node::view::{Ask, View};
use gloo_timers::callback::Timeout;
use leptos::ev;
use leptos::prelude::*;
use std::cell::OnceCell;
use std::rc::Rc;

/// Called with every new view.
pub type OnView = Box<dyn Fn(View)>;
/// The way to ask the node.
pub type AskNode = Box<dyn Fn(Ask)>;
type Join = Rc<dyn Fn(&RoomLink, String, OnView) -> AskNode>;

/// Draws the page into the document's body. `join` is called once, when the person goes in: with the room's
/// link, the person's name, and what to call with every new view. It calls that soon, with a first view.
pub fn run(join: impl Fn(&RoomLink, String, OnView) -> AskNode + 'static) {
    let join: Join = Rc::new(join);
    document().body().expect("a document has a body").set_inner_html("");
    mount_to_body(move || view! { <Page join=join /> });
}

/// This tab's name, else the one the person chose on an earlier visit, else a new one.
pub fn own_name() -> String {
    let kept = [Keep::Tab, Keep::Visits].into_iter().find_map(|place| browser::load::<String>(place, NAME));
    kept.and_then(|name| names::tidy(&name)).unwrap_or_else(|| {
        let name = names::name(browser::random());
        keep_name(&name);
        name
    })
}

/// Keeps a name for this tab, and for the next visit if the person chose it: two windows that were never named
/// are two people at the table.
pub fn keep_name(name: &str) {
    browser::store(Keep::Tab, NAME, &name);
    if !names::is_made(name) {
        browser::store(Keep::Visits, NAME, &name);
    }
}

const NAME: &str = "manyhands.name";

#[derive(Clone)]
enum Place {
    /// With why an opened link did not lead into its room.
    Door(Option<String>),
    /// Joined, and the node has not said anything yet.
    Opening,
    Room(Room),
}

#[component]
fn Page(join: Join) -> impl IntoView {
    let place = RwSignal::new_local(Place::Door(None));
    let page = Owner::current().expect("a component has an owner");
    let enter = UnsyncCallback::new(move |link: RoomLink| enter(&link, &join, place, &page));
    match opened_link() {
        None => {}
        Some(Err(why)) => place.set(Place::Door(Some(why))),
        Some(Ok(_)) if obstacle().is_some() => {}
        Some(Ok(link)) => enter.run(link),
    }
    reload_on_other_link();
    let start = UnsyncCallback::new(move |()| match RoomLink::create(&browser::address()) {
        Ok(link) => {
            browser::go_to(&link.to_string());
            enter.run(link);
        }
        Err(error) => place.set(Place::Door(Some(format!("No room could be made: {error}.")))),
    });
    move || match place.get() {
        Place::Door(trouble) => view! { <Door trouble start /> }.into_any(),
        Place::Opening => view! { <Opening /> }.into_any(),
        Place::Room(room) => view! { <RoomPlace room /> }.into_any(),
    }
}

#[component]
fn Opening() -> impl IntoView {
    view! {
        <main class="door late">
            <p class="promise" role="status" aria-label="Room">"Opening the room…"</p>
        </main>
    }
}

/// The link in the address bar, if there is one, or what is wrong with it.
fn opened_link() -> Option<Result<RoomLink, String>> {
    let fragment = browser::fragment();
    let parse = |link: String| RoomLink::parse(&link).map_err(|error| format!("No room opened: {error}."));
    (fragment.len() > 1).then(|| parse(browser::address() + &fragment))
}

/// Joins; the room is shown with the node's first view, which comes at once.
///
/// What the room needs belongs to the page: a signal made by the door's button would go with the door.
fn enter(link: &RoomLink, join: &Join, place: RwSignal<Place, LocalStorage>, page: &Owner) {
    place.set(Place::Opening);
    let ask = Rc::new(OnceCell::<AskNode>::new());
    let on_view = on_view(link.to_string(), Rc::clone(&ask), place, page.clone());
    let asker = join(link, own_name(), on_view);
    assert!(ask.set(asker).is_ok(), "a room is joined once");
}

fn on_view(
    link: String,
    ask: Rc<OnceCell<AskNode>>,
    place: RwSignal<Place, LocalStorage>,
    page: Owner,
) -> OnView {
    let shown = OnceCell::<RwSignal<View>>::new();
    Box::new(move |new| match shown.get() {
        Some(view) => view.set(new),
        None => page.with(|| {
            let view = *shown.get_or_init(|| RwSignal::new(new));
            let ask = Rc::clone(&ask);
            let send = move |wish| ask.get().into_iter().for_each(|ask| ask(Ask::clone(&wish)));
            place.set(Place::Room(Room::new(view, link.clone(), Box::new(send))));
        }),
    })
}

/// "Back", or another link pasted into this tab, is a new start.
fn reload_on_other_link() {
    // After the event, or Safari keeps the old address.
    let reload = || drop(Timeout::new(0, || drop(window().location().reload())).forget());
    window_event_listener(ev::hashchange, move |_| reload());
    window_event_listener(ev::popstate, move |_| reload());
}
