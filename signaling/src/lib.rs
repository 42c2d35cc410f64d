//! The one small server.
