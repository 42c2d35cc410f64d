//! Why there is no manifest.

use crate::limits;

/// What is wrong with a manifest, with what it is made of, or with what it is compared with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It does not begin as manifests do. Cure: another file.
    #[error("this is not a manifest of Manyhands")]
    Foreign,
    /// A newer program made it. Cure: reload the page, or update the program.
    #[error("the manifest has version {0}, version {known} is known here: update this program", known = super::codec::VERSION)]
    Version(u8),
    /// More bytes than any manifest has.
    #[error("{what} of {bytes} bytes, {most} at most")]
    TooLong {
        /// The root, or a page.
        what: &'static str,
        /// Bytes that came.
        bytes: usize,
        /// Bytes allowed.
        most: usize,
    },
    /// Cut off, or changed on the way. Cure: fetch it again, from somebody else.
    #[error("{0} is cut off or damaged: fetch it again")]
    Malformed(&'static str),
    /// The bytes are not those that the hash names. Cure: fetch them again, from somebody else.
    #[error("{0} is not what its hash says: whoever sent it is wrong, fetch it from another source")]
    Hash(&'static str),
    /// It says the impossible: whoever made it made a mistake, or lies.
    #[error("the manifest cannot be: {0}")]
    Impossible(String),
    /// What a manifest was to be made of does not fit together.
    #[error("{0}")]
    Listing(String),
    /// The model has more parts than a root can name.
    #[error("the model has {0} layers and groups of experts, {most} at most", most = limits::MANIFEST_PAGES)]
    Groups(usize),
    /// An RDRR manifest that cannot be used.
    #[error("RDRR manifest: {0}")]
    Rdrr(String),
}
