//! The whole of Runwarden, as real processes beside a sandbox controller, from outside.
