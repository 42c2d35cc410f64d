//! Requests of the native program: each on a thread of its own, for the client blocks.

use super::{Answer, total};
use futures::channel::oneshot;
use std::io::Read;
use std::time::Duration;
use ureq::Agent;

/// For a server to be reached, and to begin its answer. Source: guess; a busy host.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(30);
/// For a whole body. Source: guess; whoever waits for a block gives up sooner.
const BODY: Duration = Duration::from_secs(300);

/// Connections that are kept open between requests.
pub struct Client(Agent);

impl Default for Client {
    fn default() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_recv_body(Some(BODY));
        Self(config.build().into())
    }
}

impl Client {
    /// What a server says to a request, with `most` bytes of its body and one more at most.
    pub async fn get(&self, url: &str, range: Option<String>, most: u64) -> Result<Answer, String> {
        let (answer, answered) = oneshot::channel();
        let (agent, url) = (self.0.clone(), url.to_owned());
        let ask = move || {
            // Whoever asked may not wait any more.
            let _ = answer.send(get(&agent, &url, range, most));
        };
        let thread = std::thread::Builder::new().name("fetch".into()).spawn(ask);
        thread.map_err(|error| format!("no thread: {error}"))?;
        answered.await.map_err(|_| "the request broke off".to_owned())?
    }
}

fn get(agent: &Agent, url: &str, range: Option<String>, most: u64) -> Result<Answer, String> {
    let mut request = agent.get(url);
    if let Some(range) = range {
        request = request.header("Range", range);
    }
    let mut response = request.call().map_err(|error| error.to_string())?;
    let total = response.headers().get("content-range").and_then(|text| total(text.to_str().ok()?));
    let status = response.status().as_u16();
    let mut body = Vec::new();
    if (200..300).contains(&status) {
        let read = response.body_mut().as_reader().take(most.saturating_add(1)).read_to_end(&mut body);
        read.map_err(|error| format!("it broke off: {error}"))?;
    }
    Ok(Answer { status, total, body })
}
