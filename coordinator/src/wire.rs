//! What peers say to each other: versioned, bounded postcard messages.
