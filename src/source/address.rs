//! Addresses of Go's net/http/pprof.
//!
//! What is asked for by default is debug=2: only there goroutines have ids, states, reasons and ages,
//! which most commands need. It stops the whole program while it is written, which is said before; who
//! does not want that asks for debug=1 in the address.

use std::io::Read;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::Uri;
use ureq::http::header::HeaderValue;

use super::early::{self, Beginning};
use super::http::{self, Answer, Limits};
use super::{Opened, compressed, file};
use crate::cli::error::{CliError, Result};
use crate::cli::output::tell;
use crate::import::{self, ReadDump};

const LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), total: Duration::from_secs(300), body: file::MAX_DUMP };

/// Where net/http/pprof registers itself.
const PPROF: &str = "/debug/pprof";

/// Is this the address of a server?
pub(super) fn is_address(text: &str) -> bool {
    let begins =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    begins("http:") || begins("https:")
}

/// What the user gave, taken apart.
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

/// Reads what is served at an address.
pub(super) fn read(text: &str) -> Result<Opened> {
    let address = Address::parse(text)?;
    let found =
        if address.leaves_the_choice() { address.read_best()? } else { address.read(&address.query)? };
    let mut snapshot = file::named(found.snapshot, &address.host);
    let header = &mut snapshot.header;
    if header.taken_at_ns == 0 {
        header.taken_at_ns =
            SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    }
    if header.target.host.is_empty() {
        header.target.host = address.host.clone();
    }
    Ok(Opened { snapshot, saved: false })
}

impl Address {
    fn parse(text: &str) -> Result<Self> {
        let refused = |problem: &str| {
            // Whatever it is, it may hold a password.
            let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
            CliError::Usage(format!("{shown}: no address: {problem}"))
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
        http::check_host(host).map_err(refused)?;
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

    /// The goroutine profile comes in several forms, and none was asked for.
    fn leaves_the_choice(&self) -> bool {
        let asks = self.query.split('&').any(|pair| pair.split('=').next() == Some("debug"));
        self.path.ends_with("/goroutine") && !asks
    }

    /// debug=2, and debug=1 if Go cuts that.
    fn read_best(&self) -> Result<ReadDump> {
        tell(&format!(
            "{} stops while it writes its goroutines (debug=2); ?debug=1 only counts stacks and is quicker",
            self.host
        ));
        let dump = self.read(&self.with_debug(2))?;
        if !dump.cut {
            return Ok(dump);
        }
        // Numbers that are too small are worse than no ids.
        match self.read(&self.with_debug(1)) {
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

    /// Asks, and reads the answer.
    fn read(&self, query: &str) -> Result<ReadDump> {
        let shown = self.shown(query);
        let failed = |problem: String, remedy: &[&str]| CliError::Address {
            address: shown.clone(),
            problem,
            remedy: remedy.iter().map(|&line| line.to_owned()).collect(),
        };
        let uri: Uri = shown.parse().map_err(|_| failed("no address".to_owned(), &[]))?;
        // What is compressed is told by what is in it.
        let beginning =
            |body: &mut dyn Read| early::read(&mut *compressed::open(body)?.reader, file::MAX_DUMP);
        let answer = http::get(&uri, self.authorization.as_ref(), LIMITS, beginning);
        let Beginning { bytes, stopped } = match answer.map_err(|problem| failed(problem, &[]))? {
            Answer::Ok(beginning) => beginning,
            Answer::Status(status, line) => {
                let line = if line.is_empty() { String::new() } else { format!(": {line}") };
                return Err(failed(format!("the server says {status}{line}"), remedy(status)));
            }
        };
        match import::read(&bytes) {
            Ok(_) if stopped => Err(failed(
                format!("no dump in its first {} KiB, and not read any further", bytes.len() >> 10),
                &[],
            )),
            Ok(found) => Ok(found),
            Err(source) => Err(CliError::Dump { what: shown, source: Box::new(source) }),
        }
    }

    /// The address without user and password.
    fn shown(&self, query: &str) -> String {
        let question = if query.is_empty() { "" } else { "?" };
        format!("{}://{}{}{question}{query}", self.scheme, self.host, self.path)
    }
}

/// Without a path, or with the one of the index, the goroutines are meant.
fn path_of(path: &str) -> String {
    match path.trim_end_matches('/') {
        "" | PPROF => format!("{PPROF}/goroutine"),
        _ => path.to_owned(),
    }
}

fn remedy(status: u16) -> &'static [&'static str] {
    match status {
        401 | 403 => &["user and password go into the address: http://user:password@host:6060"],
        404 => &[
            "does the program import net/http/pprof, and does this port serve it?",
            "if it is served elsewhere, give the whole path: http://host:6060/path/to/goroutine",
        ],
        _ => &[],
    }
}

/// Takes percent escapes out of user and password.
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
            let error = Address::parse(text).err().unwrap().to_string();
            assert!(error.contains("no address") && !error.contains("secret"), "{error}");
        }
    }
}
