//! Addresses, in a loiter that was built without HTTP.

use super::{AddressError, Input, Result, SourceError};

/// The address without user and password.
pub(super) fn without_password(text: &str) -> String {
    text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
}

/// No request is sent, so no program stops.
pub(super) fn stops_host(_: &str) -> Option<String> {
    None
}

/// Always fails: an address cannot be read.
pub(super) fn read(text: &str) -> Result<Input> {
    Err(SourceError::Address { address: without_password(text), source: AddressError::NotBuilt })
}
