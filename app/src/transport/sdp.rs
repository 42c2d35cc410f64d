//! What may reach the WebRTC stack: offers, answers and candidates of exactly the shape that data-channel-only
//! peers make.
//!
//! Whoever sealed them holds the room's key, but that does not make them sound, and matchbox panics on a
//! description or candidate that the browser refuses: one bad peer would take down the whole page.

use super::limits::{CANDIDATE_BYTES, SDP_BYTES};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Offer or answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The dialer's.
    Offer,
    /// The other's.
    Answer,
}

/// True for a session description with one data-channel section and nothing unknown.
#[must_use]
pub fn is_description(kind: Kind, text: &str) -> bool {
    if text.len() > SDP_BYTES || !text.starts_with("v=0") {
        return false;
    }
    let mut needed = Needed::default();
    let sane = text.lines().all(|line| is_line(kind, line, &mut needed));
    sane && needed == Needed { section: 1, ufrag: 1, pwd: 1, fingerprint: 1, setup: 1, mid: 1, port: 1 }
}

/// How often the lines that must be there exactly once were seen.
#[derive(Debug, Default, PartialEq)]
struct Needed {
    section: u8,
    ufrag: u8,
    pwd: u8,
    fingerprint: u8,
    setup: u8,
    mid: u8,
    port: u8,
}

fn is_line(kind: Kind, line: &str, needed: &mut Needed) -> bool {
    let Some((letter, value)) = line.split_once('=') else {
        return false;
    };
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return false;
    }
    let words: Vec<&str> = value.split(' ').collect();
    match (letter, &*words) {
        ("v", ["0"]) | ("s", [_]) | ("t", ["0", "0"]) => true,
        ("o", [user, session, version, "IN", net, address]) => {
            is_token(user) && is_number(session) && is_number(version) && is_address(net, address)
        }
        ("c", ["IN", net, address]) => is_address(net, address),
        ("m", ["application", port, "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP", "webrtc-datachannel"]) => {
            once(&mut needed.section) && port.parse::<u16>().is_ok()
        }
        ("a", _) => is_attribute(kind, value, needed),
        _ => false,
    }
}

fn is_attribute(kind: Kind, text: &str, needed: &mut Needed) -> bool {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    match name {
        "extmap-allow-mixed" | "end-of-candidates" | "sendrecv" => value.is_empty(),
        "msid-semantic" | "ice-options" => value.trim().split(' ').all(is_token),
        "group" => value == "BUNDLE 0",
        "mid" => once(&mut needed.mid) && value == "0",
        "candidate" => is_candidate_line(text),
        "ice-ufrag" => once(&mut needed.ufrag) && is_ice(value, 4),
        "ice-pwd" => once(&mut needed.pwd) && is_ice(value, 22),
        "fingerprint" => once(&mut needed.fingerprint) && is_fingerprint(value),
        "setup" => once(&mut needed.setup) && is_setup(kind, value),
        "sctp-port" => once(&mut needed.port) && value.parse::<u16>().is_ok_and(|port| port > 0),
        "max-message-size" => value.parse::<u32>().is_ok(),
        _ => false,
    }
}

fn is_setup(kind: Kind, value: &str) -> bool {
    match kind {
        Kind::Offer => value == "actpass",
        Kind::Answer => matches!(value, "active" | "passive"),
    }
}

fn once(count: &mut u8) -> bool {
    *count = count.saturating_add(1);
    *count == 1
}

#[derive(Deserialize)]
struct AnyCandidate {
    candidate: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlainCandidate {
    candidate: String,
    sdp_mid: Option<String>,
    #[serde(rename = "sdpMLineIndex")]
    sdp_m_line_index: u16,
}

/// The candidate in `json` as every stack takes it: for the only section, whatever else the sender wrote.
/// None if it is no candidate.
#[must_use]
pub fn plain_candidate(json: &str) -> Option<String> {
    if json.len() > CANDIDATE_BYTES {
        return None;
    }
    if json == "null" {
        return Some(json.to_owned());
    }
    let candidate = serde_json::from_str::<AnyCandidate>(json).ok()?.candidate;
    let plain = PlainCandidate { candidate, sdp_mid: Some("0".to_owned()), sdp_m_line_index: 0 };
    is_candidate_line(&plain.candidate).then(|| serde_json::to_string(&plain).ok())?
}

/// RFC 8839, section 5.1.
fn is_candidate_line(line: &str) -> bool {
    let Some(rest) = line.strip_prefix("candidate:") else {
        return false;
    };
    let words: Vec<&str> = rest.split(' ').collect();
    let [foundation, component, transport, priority, address, port, "typ", kind, more @ ..] = &*words else {
        return false;
    };
    is_ice(foundation, 1)
        && foundation.len() <= 32
        && matches!(*component, "1" | "2")
        && matches!(transport.to_ascii_lowercase().as_str(), "udp" | "tcp")
        && priority.parse::<u32>().is_ok()
        && is_host(address)
        && port.parse::<u16>().is_ok()
        && matches!(*kind, "host" | "srflx" | "prflx" | "relay")
        && more.len().is_multiple_of(2)
        && more.chunks(2).all(|pair| is_extension(pair[0], pair[1]))
}

fn is_extension(name: &str, value: &str) -> bool {
    match name {
        "raddr" => is_host(value),
        "rport" => value.parse::<u16>().is_ok(),
        "tcptype" => matches!(value, "active" | "passive" | "so"),
        "generation" | "network-id" | "network-cost" => value.parse::<u32>().is_ok(),
        "ufrag" => is_ice(value, 4),
        _ => false,
    }
}

/// An address, or the random name under which browsers hide one (`….local`).
fn is_host(text: &str) -> bool {
    let hidden = |name: &str| {
        (1..=63).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    };
    text.parse::<IpAddr>().is_ok() || text.strip_suffix(".local").is_some_and(hidden)
}

fn is_address(net: &str, address: &str) -> bool {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => net == "IP4",
        Ok(IpAddr::V6(_)) => net == "IP6",
        Err(_) => false,
    }
}

fn is_ice(text: &str, shortest: usize) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
    (shortest..=256).contains(&text.len()) && text.bytes().all(allowed)
}

fn is_token(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn is_number(text: &str) -> bool {
    text.parse::<u64>().is_ok()
}

fn is_fingerprint(text: &str) -> bool {
    let pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some(hex) = text.strip_prefix("sha-256 ") else {
        return false;
    };
    hex.split(':').count() == 32 && hex.split(':').all(pair)
}

#[cfg(test)]
mod tests {
    use super::{Kind, is_description, plain_candidate};

    fn chromium() -> String {
        let hex = vec!["A0"; 32].join(":");
        format!(
            "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\n\
             m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\n\
             a=candidate:1 1 udp 2113937151 0b5e8f0c-5f0e-4c0b-9d61-3d1a3a1f7c11.local 54321 typ host generation 0 network-cost 999\r\n\
             a=ice-ufrag:Bh5W\r\na=ice-pwd:q3xN6Rk1Vt0aJx2kQm8sZw9L\r\na=ice-options:trickle\r\n\
             a=fingerprint:sha-256 {hex}\r\na=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\n\
             a=max-message-size:262144\r\n"
        )
    }

    #[test]
    fn descriptions() {
        let rows = [
            ("as Chromium writes it", "", "", true),
            ("no section", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n", "", false),
            ("another kind of section", "m=application 9", "m=audio 9", false),
            ("no fingerprint", "a=fingerprint", "a=finger", false),
            ("a short fingerprint", "A0:A0:", "A0:", false),
            ("an answer's role in an offer", "actpass", "active", false),
            ("another section id", "a=mid:0", "a=mid:1", false),
            ("a short password", "q3xN6Rk1Vt0aJx2kQm8sZw9L", "short", false),
            ("an unknown attribute", "a=extmap-allow-mixed", "a=rtpmap:1 x/8000", false),
            ("an unknown line", "s=-\r\n", "s=-\r\nz=0\r\n", false),
            ("a second port", "a=sctp-port:5000\r\n", "a=sctp-port:5000\r\na=sctp-port:5001\r\n", false),
            ("a bad candidate", "typ host", "typ ghost", false),
            ("control characters", "s=-", "s=\0", false),
            ("not ASCII", "s=-", "s=é", false),
            ("nothing", &chromium(), "", false),
        ];
        for (why, from, to, sane) in rows {
            let text = if from.is_empty() { chromium() } else { chromium().replace(from, to) };
            assert_eq!(is_description(Kind::Offer, &text), sane, "{why}");
        }
        let answer = chromium().replace("actpass", "active");
        assert!(is_description(Kind::Answer, &answer));
        let endless = format!("{}{}", chromium(), "a=end-of-candidates\r\n".repeat(2_000));
        assert!(!is_description(Kind::Offer, &endless), "endless");
    }

    #[test]
    fn candidates() {
        let line = "candidate:1 1 UDP 2130706431 192.168.1.7 40000 typ host";
        let json = |line: &str| format!("{{\"candidate\":\"{line}\",\"sdpMid\":\"\",\"sdpMLineIndex\":7}}");
        let plain = plain_candidate(&json(line)).expect("as webrtc-rs writes it");
        assert!(plain.contains("\"sdpMLineIndex\":0"), "for the only section: {plain}");
        assert_eq!(plain_candidate("null").as_deref(), Some("null"), "the end of them");
        let rows = [
            ("not JSON", "candidate".to_owned()),
            ("no line", "{}".to_owned()),
            ("an empty line", json("")),
            ("cut off", json(&line[..30])),
            ("a host name to look up", json(&line.replace("192.168.1.7", "evil.example"))),
            ("a port too high", json(&line.replace("40000", "70000"))),
            ("an unknown extension", json(&format!("{line} color red"))),
            ("half an extension", json(&format!("{line} raddr"))),
            ("endless", json(&format!("{line}{}", " generation 0".repeat(500)))),
        ];
        for (why, text) in rows {
            assert_eq!(plain_candidate(&text), None, "{why}");
        }
    }
}
