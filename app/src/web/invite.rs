//! The link: copied with one click, or scanned.

use super::browser;
use super::context::Room;
use leptos::prelude::*;
use leptos::task::spawn_local;
use qrcode::render::svg;
use qrcode::{EcLevel, QrCode};
use std::time::Duration;

/// The room's link and its QR code.
#[component]
pub fn Invite() -> impl IntoView {
    let room = Room::here();
    let link = room.link.get_value();
    let code = drawn(&link);
    // Open until the first other arrives, and from then on as the person wants it.
    let unmet = Memo::new(move |was: Option<&bool>| {
        was.is_none_or(|unmet| *unmet) && room.view.with(|view| view.peers.peers.len() < 2)
    });
    let confirmed = RwSignal::new(None::<bool>);
    let copy = move |_| {
        spawn_local(async move {
            let done = browser::copy(&room.link.get_value()).await;
            confirmed.set(Some(done));
            room.say.set(if done { "Link copied." } else { FAILED }.to_owned());
            set_timeout(move || confirmed.set(None), Duration::from_secs(3));
        });
    };
    let words = move || match confirmed.get() {
        None => "Copy link",
        Some(true) => "Link copied",
        Some(false) => "Not copied",
    };
    view! {
        <section class="invite" aria-labelledby="invite-title">
            <h2 id="invite-title">"Bring more hands"</h2>
            <div class="joined">
                <input
                    type="text" readonly aria-label="Room link"
                    prop:value=link on:focus:target=|event| event.target().select()
                />
                <button
                    type="button" class="secondary"
                    on:click=copy data-done=move || (confirmed.get() == Some(true)).to_string()
                >
                    {words}
                </button>
            </div>
            {move || (confirmed.get() == Some(false)).then(|| view! { <p class="trouble">{FAILED}</p> })}
            <details class="qr" open=move || unmet.get()>
                <summary>"Scan it with a phone"</summary>
                {match code {
                    Some(svg) => view! {
                        <div class="code" role="img" aria-label="QR code of the room link" inner_html=svg></div>
                    }
                    .into_any(),
                    None => view! { <p>"This link is too long for a QR code; copy it instead."</p> }.into_any(),
                }}
            </details>
        </section>
    }
}

const FAILED: &str = "The browser did not allow copying. Select the link and copy it by hand.";

/// The code as SVG, dark on light with its quiet zone, which scanners need in dark mode too.
fn drawn(link: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L).ok()?;
    let svg = code.render::<svg::Color<'_>>().min_dimensions(220, 220).quiet_zone(true).build();
    // Without the XML declaration, which is not HTML.
    svg.find("<svg").map(|start| svg[start..].to_owned())
}
