//! Addresses of Go's net/http/pprof. Everything that needs an HTTP client and TLS is in this module.
//!
//! The default is debug=2: only that form has ids, states, wait reasons and ages, which most commands need. The
//! whole program stops while it writes that form ([`stops_host`]). A user who does not want that puts debug=1
//! into the address.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::Uri;
use ureq::http::header::HeaderValue;

use super::early::{self, Beginning};
use super::{AddressError, Input, Opened, Result, SourceError, compressed, file};
use crate::import::{self, Imported, ReadDump};

mod request;

use request::{Answer, Limits};

const LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), total: Duration::from_secs(300), body: file::MAX_DUMP };

/// Where net/http/pprof registers itself.
const PPROF: &str = "/debug/pprof";

/// The parts of the user's address.
struct Address {
    /// "http", "https".
    scheme: String,
    /// Host and port, without user and password.
    host: String,
    path: String,
    /// Without the question mark; empty if there is none.
    query: String,
    authorization: Option<HeaderValue>,
}

/// The address without user and password.
pub(super) fn without_password(text: &str) -> String {
    text.rsplit_once('@').map_or(text, |(_, host)| host).to_owned()
}

/// The host of an address without a form of the profile, which loiter then chooses. None for another address,
/// and for a text that is not an address.
pub(super) fn stops_host(text: &str) -> Option<String> {
    Address::parse(text).ok().filter(Address::leaves_the_choice).map(|address| address.host)
}

/// Reads from an address.
pub(super) fn read(text: &str) -> Result<Input> {
    let address = Address::parse(text)?;
    let found = if address.leaves_the_choice() {
        Imported::Dump(address.read_best()?)
    } else {
        address.read(&address.query)?
    };
    let host = &address.host;
    Ok(match found {
        Imported::Dump(dump) => {
            let mut snapshot = file::named(dump.snapshot, host);
            let header = &mut snapshot.header;
            let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            header.taken_at_ns.get_or_insert_with(now);
            header.target.host.get_or_insert_with(|| host.clone());
            Input::Snapshot(Opened { snapshot, saved: false })
        }
        Imported::Recording(recording) => {
            let mut recording = file::named_recording(recording, host);
            recording.header.target.host.get_or_insert_with(|| host.clone());
            Input::Recording(recording)
        }
    })
}

impl Address {
    fn parse(text: &str) -> Result<Self> {
        // In any case it may contain a password.
        let refused = |problem: &str| SourceError::Address {
            address: without_password(text),
            source: AddressError::Invalid { problem: problem.to_owned() },
        };
        if !text.contains("://") {
            return Err(refused("it begins with http:// or https://"));
        }
        let uri: Uri =
            text.parse().map_err(|error: ureq::http::uri::InvalidUri| refused(&error.to_string()))?;
        let authority = uri.authority().ok_or_else(|| refused("it names no host"))?.as_str();
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains('@')) {
            return Err(refused("an @ in a user or a password is written %40"));
        }
        request::check_host(host).map_err(refused)?;
        let authorization = user.and_then(|user| {
            let mut value =
                HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(plain(user)))).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Address {
            scheme: uri.scheme_str().unwrap_or("http").to_owned(),
            host: host.to_owned(),
            path: path_of(uri.path()),
            query: uri.query().unwrap_or_default().to_owned(),
            authorization,
        })
    }

    /// The goroutine profile has several forms, and the address does not ask for one.
    fn leaves_the_choice(&self) -> bool {
        let asks = self.query.split('&').any(|pair| pair.split('=').next() == Some("debug"));
        self.path.ends_with("/goroutine") && !asks
    }

    /// debug=2, or debug=1 if Go cuts debug=2.
    fn read_best(&self) -> Result<ReadDump> {
        let dump = self.read_dump(&self.with_debug(2))?;
        if !dump.cut {
            return Ok(dump);
        }
        // Numbers that are too small are worse than missing ids.
        match self.read_dump(&self.with_debug(1)) {
            Ok(mut profile) => {
                let why = "Go cut the goroutines (debug=2) short, as it does at 64 MiB: these are counted stacks \
                           (debug=1), without ids, states, ages and creators; ?debug=2 shows the part that fits";
                profile.snapshot.header.warnings.push(why.to_owned());
                Ok(profile)
            }
            Err(_) => Ok(dump),
        }
    }

    fn with_debug(&self, level: u8) -> String {
        let and = if self.query.is_empty() { "" } else { "&" };
        format!("{}{and}debug={level}", self.query)
    }

    /// The same as [`Address::read`], for an answer of goroutines.
    fn read_dump(&self, query: &str) -> Result<ReadDump> {
        match self.read(query)? {
            Imported::Dump(dump) => Ok(dump),
            Imported::Recording(_) => Err(SourceError::NotASnapshot { what: self.shown(query) }),
        }
    }

    /// Sends a request, and reads the answer.
    fn read(&self, query: &str) -> Result<Imported> {
        let shown = self.shown(query);
        let failed = |source| SourceError::Address { address: shown.clone(), source };
        let invalid = |_| AddressError::Invalid { problem: "it cannot be asked for".to_owned() };
        let uri: Uri = shown.parse().map_err(|error| failed(invalid(error)))?;
        // The first bytes of the answer show whether it is compressed.
        let beginning =
            |body: &mut dyn Read| early::read(&mut *compressed::open(body)?.reader, file::MAX_DUMP);
        let answer = request::get(&uri, self.authorization.as_ref(), LIMITS, beginning).map_err(failed)?;
        let Beginning { bytes, stopped } = match answer {
            Answer::Ok(beginning) => beginning,
            Answer::Status(status, line) => return Err(failed(AddressError::Status { status, line })),
        };
        match import::read_any(&bytes) {
            Ok(_) if stopped => Err(failed(AddressError::NoDump { read: bytes.len() })),
            Ok(found) => Ok(found),
            Err(source) => Err(SourceError::Dump { what: shown, source: Box::new(source) }),
        }
    }

    /// The address without user and password.
    fn shown(&self, query: &str) -> String {
        let question = if query.is_empty() { "" } else { "?" };
        format!("{}://{}{}{question}{query}", self.scheme, self.host, self.path)
    }
}

/// Without a path, or with the path of the index, the user means the goroutines.
fn path_of(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" | PPROF => format!("{PPROF}/goroutine"),
        _ => path.to_owned(),
    }
}

/// Decodes percent escapes in user and password.
fn plain(text: &str) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        plain.extend_from_slice(before.as_bytes());
        match after.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(b'%');
                rest = after.get(1..).unwrap_or_default();
            }
        }
    }
    plain.extend_from_slice(rest.as_bytes());
    plain
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn where_the_profile_is() {
        for (text, shown, choice) in [
            ("http://host:6060", "http://host:6060/debug/pprof/goroutine", true),
            ("http://host:6060/", "http://host:6060/debug/pprof/goroutine", true),
            ("https://host/debug/pprof/", "https://host/debug/pprof/goroutine", true),
            ("http://host?debug=1", "http://host/debug/pprof/goroutine?debug=1", false),
            ("http://host/debug/pprof?a=b", "http://host/debug/pprof/goroutine?a=b", true),
            ("http://host/admin/goroutine", "http://host/admin/goroutine", true),
            ("http://host/some/file.txt?x", "http://host/some/file.txt?x", false),
            ("http://user:pa%73s@host:1", "http://host:1/debug/pprof/goroutine", true),
            ("http://[::1]:6060", "http://[::1]:6060/debug/pprof/goroutine", true),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(
                (address.shown(&address.query).as_str(), address.leaves_the_choice()),
                (shown, choice)
            );
            assert_eq!(address.authorization.is_some(), text.contains('@'));
        }
        let address = Address::parse("http://host?a=b").unwrap();
        assert_eq!(address.with_debug(2), "a=b&debug=2");
        assert_eq!(plain("a%3Ab%zz%"), b"a:b%zz%");
        for text in [
            "http://",
            "http://user:secret@ho st",
            "http:///path",
            "http://:6060",
            "http://host:99999/",
            "http://host:0",
            "http://host:",
            "http://host:6060:1",
            "http://user:secret@host:port/",
            "http://a@user:secret@host/",
            "http://user:secret@",
            "http:host",
            "https:/host",
            "http://ho\\st/",
            "http://::1/",
        ] {
            let error = crate::full_text(&Address::parse(text).err().unwrap());
            assert!(error.contains("no address") && !error.contains("secret"), "{error}");
        }
    }
}
