//! The page's entry: joins the driver loop to the page's components.

#[cfg(target_arch = "wasm32")]
fn main() {
    page::main();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    eprintln!("this program is the browser's page; natively run `manyhands`");
}

#[cfg(target_arch = "wasm32")]
mod page {
    use app::compute::web::WebCompute;
    use app::link::RoomLink;
    use app::node::view::Ask;
    use app::node::{Node, Setup};
    use app::transport::{JoinOptions, MatchboxTransport};
    use app::web::{self, OnView};
    use coordinator::PeerId;
    use futures::channel::mpsc::unbounded;

    pub fn main() {
        console_error_panic_hook::set_once();
        web::run(join);
    }

    /// Starts a node for this room; it lives as long as the page.
    fn join(link: &RoomLink, name: String, on_view: OnView) -> Box<dyn Fn(Ask)> {
        let me = PeerId(u128::from(random()) << 64 | u128::from(random()));
        let transport = MatchboxTransport::join(JoinOptions::new(link, me));
        let compute = WebCompute::start(story_url(), true);
        let node = Node::new(
            Setup {
                me,
                name,
                room: link.room().to_owned(),
                seed: random(),
            },
            transport,
            compute,
        );
        let (asks, incoming) = unbounded();
        wasm_bindgen_futures::spawn_local(node.run(incoming, move |view| on_view(view.clone())));
        Box::new(move |ask| {
            let _ = asks.unbounded_send(ask);
        })
    }

    /// Where the shipped model lies: beside the page.
    fn story_url() -> String {
        let page = web_sys::window()
            .and_then(|window| window.location().href().ok())
            .unwrap_or_default();
        web_sys::Url::new_with_base("story/", &page)
            .map(|url| url.href())
            .unwrap_or_default()
    }

    fn random() -> u64 {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("browsers have random numbers");
        u64::from_le_bytes(bytes)
    }
}
