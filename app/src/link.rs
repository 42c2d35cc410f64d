//! What a room link holds: where the app is, the room's name, and the key that never leaves the people.
//!
//! `https://host/path/#room=NAME&key=KEY`. Browsers never send the part after `#`, so the server sees no key.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// Bytes of a new room key: as strong as the cipher's key need be.
const KEY_BYTES: usize = 16;
/// Bytes of the longest key that a link may carry.
const KEY_BYTES_MAX: usize = 64;
/// Characters of a room name at most; the signaling server has the same bound.
const ROOM_NAME: usize = 64;
/// Bytes of a link at most. Source: guess; browsers accept longer ones, QR codes do not.
const LINK_BYTES: usize = 2_000;

/// A parsed, valid link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomLink {
    base: String,
    room: String,
    key: RoomKey,
}

/// The secret of a room. It is printed only as part of a link.
#[derive(Clone, PartialEq, Eq)]
pub struct RoomKey(Vec<u8>);

impl RoomKey {
    /// The bytes, 16 to 64 of them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RoomKey(..)")
    }
}

/// Why a text is no room link, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Neither http nor https, or no host.
    #[error("the link must begin with http:// or https:// and a host; copy it whole")]
    Address,
    /// Longer than any link that this app makes.
    #[error("the link is longer than {LINK_BYTES} bytes; copy the link alone")]
    TooLong,
    /// Nothing after `#`: the address of the app, not of a room.
    #[error(
        "the link names no room; open the app to make one, or copy the link whole, with everything after #"
    )]
    NoRoom,
    /// A room name with other characters, or too long.
    #[error("a room's name is 1 to {ROOM_NAME} letters, digits, - or _; copy the link whole")]
    RoomName,
    /// The key is missing, cut off or mistyped.
    #[error("the link's key is missing or damaged; copy the link whole, to its last character")]
    Key,
    /// The system gave no random bytes.
    #[error("this system gives no random numbers, so no safe room can be made: {0}")]
    NoRandomness(String),
}

impl RoomLink {
    /// A new room with a random name and key, at `base`: the app's address, with or without a fragment.
    ///
    /// # Errors
    /// [`LinkError::Address`], [`LinkError::TooLong`] or [`LinkError::NoRandomness`].
    pub fn create(base: &str) -> Result<Self, LinkError> {
        let mut random = [0; 12 + KEY_BYTES];
        getrandom::fill(&mut random).map_err(|error| LinkError::NoRandomness(error.to_string()))?;
        let (name, key) = random.split_at(12);
        Ok(Self { base: base_of(base)?, room: URL_SAFE_NO_PAD.encode(name), key: RoomKey(key.to_vec()) })
    }

    /// Reads a link, with space around it forgiven.
    ///
    /// # Errors
    /// Any [`LinkError`] but the last.
    pub fn parse(text: &str) -> Result<Self, LinkError> {
        let text = text.trim();
        let base = base_of(text)?;
        let fragment = text.split_once('#').map_or("", |(_, fragment)| fragment);
        let field = |name: &str| {
            fragment
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .unwrap_or_default()
        };
        let room = field("room");
        if room.is_empty() {
            return Err(LinkError::NoRoom);
        }
        if !is_room_name(room) {
            return Err(LinkError::RoomName);
        }
        let key = URL_SAFE_NO_PAD.decode(field("key")).map_err(|_| LinkError::Key)?;
        if !(KEY_BYTES..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(LinkError::Key);
        }
        Ok(Self { base, room: room.to_owned(), key: RoomKey(key) })
    }

    /// The app's address, without a fragment.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The room's name.
    #[must_use]
    pub fn room(&self) -> &str {
        &self.room
    }

    /// The room's key.
    #[must_use]
    pub const fn key(&self) -> &RoomKey {
        &self.key
    }

    /// Where the room's signaling socket is: `room/NAME` beside the app, as `ws` or `wss`.
    #[must_use]
    pub fn signaling_url(&self) -> String {
        let page = self.base.split('?').next().unwrap_or_default();
        // "http" becomes "ws", and "https" becomes "wss".
        let rest = page.strip_prefix("http").unwrap_or(page);
        let authority = rest.find("://").map_or(0, |at| at + 3);
        let folder = match rest[authority..].rfind('/') {
            Some(slash) => &rest[..authority + slash],
            None => rest,
        };
        format!("ws{folder}/room/{}", self.room)
    }
}

impl fmt::Display for RoomLink {
    /// The whole link, key and all: show it only to people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#room={}&key={}", self.base, self.room, URL_SAFE_NO_PAD.encode(&self.key.0))
    }
}

fn is_room_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=ROOM_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// Everything before `#`, if it is an address that a browser could have.
fn base_of(text: &str) -> Result<String, LinkError> {
    if text.len() > LINK_BYTES {
        return Err(LinkError::TooLong);
    }
    let base = text.split('#').next().unwrap_or_default();
    let rest = base.strip_prefix("https://").or_else(|| base.strip_prefix("http://"));
    let host = rest.and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || host.contains('@') || !plain(base) {
        return Err(LinkError::Address);
    }
    Ok(base.to_owned())
}

#[cfg(test)]
mod tests {
    use super::{LinkError, RoomLink};

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODw";

    #[test]
    fn a_new_link_survives_its_text_and_is_never_the_same() {
        let one = RoomLink::create("http://localhost:8080/").expect("created");
        let two = RoomLink::create("http://localhost:8080/").expect("created");
        assert_eq!(RoomLink::parse(&one.to_string()), Ok(one.clone()));
        assert_ne!(one.room(), two.room());
        assert_ne!(one.key(), two.key());
        assert!(
            !format!("{one:?}").contains(&one.to_string()[one.to_string().len() - 22..]),
            "no key in logs"
        );
    }

    #[test]
    fn where_signaling_is() {
        let rows = [
            ("http://localhost:8080/", "ws://localhost:8080/room/r", "a root"),
            ("http://localhost:8080", "ws://localhost:8080/room/r", "no slash"),
            ("https://a.example/hands/", "wss://a.example/hands/room/r", "a folder, TLS"),
            ("https://a.example/hands/index.html", "wss://a.example/hands/room/r", "the page by name"),
            ("https://a.example/?lang=de", "wss://a.example/room/r", "a query"),
            ("http://[::1]:80/", "ws://[::1]:80/room/r", "IPv6"),
        ];
        for (base, expected, why) in rows {
            let link = RoomLink::parse(&format!("{base}#room=r&key={KEY}")).expect(why);
            assert_eq!(link.signaling_url(), expected, "{why}");
            assert_eq!(link.base(), base, "{why}");
        }
    }

    #[test]
    fn what_is_no_link() {
        use LinkError::{Address, Key, NoRoom, RoomName, TooLong};
        let long = format!("http://h/{}#room=r&key={KEY}", "x".repeat(2_000));
        let rows = [
            (format!("  http://h/#room=r&key={KEY}\n"), None, "space around it is forgiven"),
            (format!("http://h/#key={KEY}&room=r&more=1"), None, "order and unknown fields do not matter"),
            (String::new(), Some(Address), "nothing"),
            (format!("ftp://h/#room=r&key={KEY}"), Some(Address), "another scheme"),
            (format!("http:///#room=r&key={KEY}"), Some(Address), "no host"),
            (format!("http://bank@h/#room=r&key={KEY}"), Some(Address), "a misleading user name"),
            (format!("http://h /#room=r&key={KEY}"), Some(Address), "a space inside"),
            ("http://h/".to_owned(), Some(NoRoom), "only the app"),
            (format!("http://h/#key={KEY}"), Some(NoRoom), "no room"),
            (format!("http://h/#room=a/b&key={KEY}"), Some(RoomName), "a path as a name"),
            (format!("http://h/#room={}&key={KEY}", "x".repeat(65)), Some(RoomName), "too long a name"),
            ("http://h/#room=r".to_owned(), Some(Key), "no key"),
            (format!("http://h/#room=r&key={}", &KEY[..20]), Some(Key), "cut off"),
            ("http://h/#room=r&key=AAEC!wQFBgcICQoLDA0ODw".to_owned(), Some(Key), "mistyped"),
            (format!("http://h/#room=r&key={}", "A".repeat(88)), Some(Key), "66 bytes are no key of ours"),
            (long, Some(TooLong), "endless"),
        ];
        for (text, error, why) in rows {
            assert_eq!(RoomLink::parse(&text).err(), error, "{why}");
        }
    }
}
