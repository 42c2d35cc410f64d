//! The page: a door and a room, drawn from the node's [`View`](crate::node::view::View).
//!
//! What is said and shown is decided by plain functions over views ([`status`], [`stretch`], [`words`], [`colour`],
//! [`sentence`], [`comings`], [`painted`], [`known`], [`contents`], [`adapting`], [`storage`]), which are tested natively. The components only put it on the screen.
//!
//! ```text
//! place ─▶ door                        (nobody joined yet)
//!      └─▶ room ─┬─ feed ─┬─ card            (answers; `announce` reads them aloud)
//!                │        └─ picture_card    (pictures as they sharpen)
//!                ├─ gallery  (all whole pictures, in place of the feed)
//!                ├─ composer (prompt, Write, Paint or Stop) ── drawer, paint_drawer (settings)
//!                └─ panel ─┬─ strip    (who runs which layers, a strip per team)
//!                          ├─ invite   (link, QR)
//!                          ├─ peers
//!                          ├─ room_models (what the room shares, and where it came from)
//!                          ├─ adapter_switch (what changes the model here, on and off)
//!                          ├─ chooser  (another model: known ones, an address, own files)
//!                          ├─ storage_panel (what is kept on this device)
//!                          └─ details
//! ```

pub mod adapting;
pub mod colour;
pub mod comings;
pub mod contents;
pub mod known;
pub mod paint_settings;
pub mod painted;
pub mod sentence;
pub mod settings;
pub mod status;
pub mod storage;
pub mod stretch;
pub mod words;

#[cfg(target_arch = "wasm32")]
mod adapter_switch;
#[cfg(target_arch = "wasm32")]
mod announce;
#[cfg(target_arch = "wasm32")]
mod browser;
#[cfg(target_arch = "wasm32")]
mod card;
#[cfg(target_arch = "wasm32")]
mod chooser;
#[cfg(target_arch = "wasm32")]
mod composer;
#[cfg(target_arch = "wasm32")]
mod context;
#[cfg(target_arch = "wasm32")]
mod details;
#[cfg(target_arch = "wasm32")]
mod device;
#[cfg(target_arch = "wasm32")]
mod door;
#[cfg(target_arch = "wasm32")]
mod draft;
#[cfg(target_arch = "wasm32")]
mod drawer;
#[cfg(target_arch = "wasm32")]
mod feed;
#[cfg(target_arch = "wasm32")]
mod gallery;
#[cfg(target_arch = "wasm32")]
mod invite;
#[cfg(target_arch = "wasm32")]
mod paint_drawer;
#[cfg(target_arch = "wasm32")]
mod panel;
#[cfg(target_arch = "wasm32")]
mod peers;
#[cfg(target_arch = "wasm32")]
mod picture;
#[cfg(target_arch = "wasm32")]
mod picture_card;
#[cfg(target_arch = "wasm32")]
mod place;
#[cfg(target_arch = "wasm32")]
mod room;
#[cfg(target_arch = "wasm32")]
mod room_models;
#[cfg(target_arch = "wasm32")]
mod storage_panel;
#[cfg(target_arch = "wasm32")]
mod strip;
#[cfg(target_arch = "wasm32")]
mod vitals;

#[cfg(target_arch = "wasm32")]
pub use chooser::{opened, remember};
#[cfg(target_arch = "wasm32")]
pub use place::{AskNode, OnView, run};
#[cfg(target_arch = "wasm32")]
pub use storage_panel::{allowed, shared};

#[cfg(test)]
mod example;
