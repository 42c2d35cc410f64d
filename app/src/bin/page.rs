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
    use app::clock;
    use app::compute::Means;
    use app::compute::swarm::Keep;
    use app::compute::web::WebCompute;
    use app::link::RoomLink;
    use app::node::view::Ask;
    use app::node::{Node, Setup};
    use app::transport::{IceServers, JoinOptions, WebRtc};
    use app::web::{self, OnView};
    use coordinator::PeerId;
    use futures::channel::mpsc::unbounded;
    use futures::future::{Either, select};
    use std::pin::pin;
    use wasm_bindgen::JsCast;
    use wasm_bindgen_futures::JsFuture;

    /// For the server to name its STUN servers. Source: guess; far more than a slow network takes.
    const ICE_MS: u64 = 3_000;

    pub fn main() {
        console_error_panic_hook::set_once();
        web::run(join);
    }

    /// Starts a node for this room; it lives as long as the page.
    fn join(link: &RoomLink, name: String, on_view: OnView) -> Box<dyn Fn(Ask)> {
        let (link, (asks, incoming)) = (link.clone(), unbounded());
        let first = asks.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let me = PeerId(u128::from(random()) << 64 | u128::from(random()));
            // A server that does not answer must not keep people out of their room.
            let ice = match select(pin!(ice_servers()), pin!(clock::sleep(ICE_MS))).await {
                Either::Left((named, _)) => named.unwrap_or_default(),
                Either::Right(_) => IceServers::default(),
            };
            let room = link.room().to_owned();
            let transport =
                WebRtc::join(JoinOptions { link, me, ice }).expect("browsers have random numbers");
            let compute = WebCompute::start(shipped(), true);
            let sharing = web::shared().map(Ask::Sharing);
            let model = web::opened().map(|model| Ask::Open(Some(model)));
            for ask in [sharing, model].into_iter().flatten() {
                let _ = first.unbounded_send(ask);
            }
            let node = Node::new(Setup { me, name, room, seed: random() }, transport, compute);
            node.run(incoming, move |view| on_view(view.clone())).await;
        });
        Box::new(move |ask| {
            if let Ask::Open(model) = &ask {
                web::remember(model.as_ref());
            }
            let _ = asks.unbounded_send(ask);
        })
    }

    /// The STUN and TURN servers that the server of this page names; None where it names none, as on one's own machine.
    async fn ice_servers() -> Option<IceServers> {
        #[derive(serde::Deserialize)]
        struct Named {
            urls: Vec<String>,
            username: Option<String>,
            credential: Option<String>,
        }
        let fetch = web_sys::window()?.fetch_with_str("api/ice");
        let response: web_sys::Response = JsFuture::from(fetch).await.ok()?.dyn_into().ok()?;
        let text = JsFuture::from(response.text().ok()?).await.ok()?.as_string()?;
        let Named { urls, username, credential } = serde_json::from_str(&text).ok()?;
        Some(IceServers { urls, username, credential })
    }

    /// Where the shipped models lie: beside the page.
    fn shipped() -> Means {
        let page = web_sys::window().and_then(|window| window.location().href().ok()).unwrap_or_default();
        let beside = |name: &str| web_sys::Url::new_with_base(name, &page).map(|url| url.href()).ok();
        Means {
            text: beside("story/story.gguf"),
            pictures: beside("painter/"),
            keep: Keep { quota: web::allowed(), ..Keep::default() },
            ..Means::default()
        }
    }

    fn random() -> u64 {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).expect("browsers have random numbers");
        u64::from_le_bytes(bytes)
    }
}
