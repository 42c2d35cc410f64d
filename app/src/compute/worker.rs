//! The worker's own loop: requests in, reports out, one at a time.
