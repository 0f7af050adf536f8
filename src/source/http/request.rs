//! One GET request, with limits on everything.

use std::io::{self, Read};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::http::Uri;
use ureq::http::header::{AUTHORIZATION, HeaderValue, LOCATION};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error};

use crate::source::AddressError;

/// Limits on time and size.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until the connection is made.
    pub(super) connect: Duration,
    /// From the request to the end of the body. Go takes half a minute for a million goroutines.
    pub(super) total: Duration,
    /// Bytes of the body.
    pub(super) body: u64,
}

/// Redirects that are followed.
const MAX_REDIRECTS: u32 = 5;
/// Bytes of an error answer: its first line is shown.
const ERROR_BODY: u64 = 4096;
/// Characters shown of it.
const ERROR_SHOWN: usize = 200;

/// The result of an answered request.
#[derive(Debug)]
pub(super) enum Answer<T> {
    /// 200, and the result of reading the body.
    Ok(T),
    /// Another status, and the first line of the body.
    Status(u16, String),
}

/// Requests an address, and lets `read` read the body; it may stop before the end.
pub(super) fn get<T>(
    uri: &Uri,
    authorization: Option<&HeaderValue>,
    limits: Limits,
    read: impl FnOnce(&mut dyn Read) -> io::Result<T>,
) -> Result<Answer<T>, AddressError> {
    let (mut uri, mut authorization) = (uri.clone(), authorization);
    let (agent, begin) = (agent(limits), Instant::now());
    for _ in 0..=MAX_REDIRECTS {
        if uri.scheme_str() == Some("https") && !can_encrypt() {
            return Err(AddressError::CannotEncrypt);
        }
        let left = limits.total.saturating_sub(begin.elapsed());
        let mut request = agent.get(uri.clone()).config().timeout_global(Some(left)).build();
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = request.call().map_err(|error| explain(&error, limits))?;
        let status = response.status();
        if let (true, Some(to)) = (status.is_redirection(), response.headers().get(LOCATION)) {
            let to = redirected(&uri, to)?;
            // A password is only for the server that it was given for.
            let same = (to.scheme(), to.authority()) == (uri.scheme(), uri.authority());
            authorization = authorization.filter(|_| same);
            uri = to;
            continue;
        }
        if !status.is_success() {
            let mut body = Vec::new();
            // If this fails, the status is enough.
            let _ = response.body_mut().as_reader().take(ERROR_BODY).read_to_end(&mut body);
            let body = String::from_utf8_lossy(&body);
            let line = body.lines().next().unwrap_or_default().trim().chars().take(ERROR_SHOWN).collect();
            return Ok(Answer::Status(status.as_u16(), line));
        }
        let announced = response.body().content_length();
        if announced.is_some_and(|length| length > limits.body) {
            return Err(AddressError::TooLarge { most: limits.body });
        }
        let from = response.body_mut().with_config().limit(u64::MAX).reader();
        let mut body = Body { from, got: 0, announced, limits, failed: None };
        return read(&mut body)
            .map(Answer::Ok)
            .map_err(|error| body.failed.unwrap_or(AddressError::Io(error)));
    }
    Err(AddressError::Redirects { most: MAX_REDIRECTS })
}

/// The body of an answer, within the limits.
struct Body<R> {
    from: R,
    /// Bytes read so far.
    got: u64,
    announced: Option<u64>,
    limits: Limits,
    /// Why it broke off.
    failed: Option<AddressError>,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = match self.from.read(buf) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                let said = broken(&error, self.got, self.announced, self.limits);
                self.failed.get_or_insert(said);
                return Err(error);
            }
        };
        self.got += n as u64;
        if self.got > self.limits.body {
            self.failed.get_or_insert(AddressError::TooLarge { most: self.limits.body });
            return Err(io::Error::other("too large"));
        }
        Ok(n)
    }
}

/// The target of a redirect.
fn redirected(from: &Uri, to: &HeaderValue) -> Result<Uri, AddressError> {
    let bad = |to: &str, why: &str| AddressError::BadRedirect { to: to.to_owned(), why: why.to_owned() };
    let text = to.to_str().map_err(|_| bad(&String::from_utf8_lossy(to.as_bytes()), "not text"))?;
    let text = text.split('#').next().unwrap_or_default();
    let (scheme, host) =
        (from.scheme_str().unwrap_or("http"), from.authority().map_or("", |host| host.as_str()));
    let whole = match text {
        _ if has_scheme(text) => text.to_owned(),
        _ if text.starts_with("//") => format!("{scheme}:{text}"),
        _ if text.starts_with('/') => format!("{scheme}://{host}{text}"),
        _ if text.starts_with('?') => format!("{scheme}://{host}{}{text}", from.path()),
        _ => {
            let directory = from.path().rsplit_once('/').map_or("", |(directory, _)| directory);
            format!("{scheme}://{host}{directory}/{text}")
        }
    };
    let refused = |why: &str| bad(&whole, why);
    let uri: Uri = whole.parse().map_err(|_| refused("no address"))?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err(refused("no http address"));
    }
    check_host(uri.authority().map_or("", |host| host.as_str())).map_err(refused)?;
    Ok(uri)
}

/// "file:///a", "gopher:a": a colon before any other separator.
fn has_scheme(text: &str) -> bool {
    text.find([':', '/', '?']).is_some_and(|at| text.as_bytes().get(at) == Some(&b':'))
}

/// Checks host and port, without user and password. Later code mistakes an invalid port for a missing one.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check_host(host: &str) -> Result<(), &'static str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("a bracket is not closed")?;
            address.parse::<Ipv6Addr>().map_err(|_| "what stands in brackets is no IPv6 address")?;
            let port = if port.is_empty() { None } else { Some(port.strip_prefix(':').unwrap_or_default()) };
            ("[]", port)
        }
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let known = |c: char| c.is_ascii_alphanumeric() || "-._[]".contains(c);
    match port {
        _ if name.is_empty() => Err("it names no host"),
        _ if !name.chars().all(known) => Err("no host is called that"),
        Some(port) if port.contains(':') => Err("an IPv6 address stands in brackets: [::1]:6060"),
        Some(port)
            if !port.bytes().all(|b| b.is_ascii_digit()) || !matches!(port.parse(), Ok(1..=u16::MAX)) =>
        {
            Err("its port is no number from 1 to 65535")
        }
        _ => Ok(()),
    }
}

/// Does this processor have what the cryptography needs? Without it, that would panic. All processors since
/// about 2015 have it.
fn can_encrypt() -> bool {
    is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("adx")
}

fn agent(limits: Limits) -> Agent {
    let provider = Arc::new(rustls_graviola::default_provider());
    let tls = TlsConfig::builder()
        // The certificates that this machine trusts, including a company's own.
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        // Redirects are followed here, because not every address is acceptable.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(limits.connect))
        .user_agent(concat!("loiter/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The body broke off.
fn broken(error: &io::Error, got: u64, announced: Option<u64>, limits: Limits) -> AddressError {
    let why = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => explain(inner, limits),
        None => AddressError::Io(same(error)),
    };
    AddressError::BrokenOff { got, announced, why: Box::new(why) }
}

fn explain(error: &Error, limits: Limits) -> AddressError {
    match error {
        Error::Timeout(ureq::Timeout::Connect) => AddressError::NoConnection { within: limits.connect },
        Error::Timeout(_) => AddressError::TooSlow { within: limits.total },
        Error::HostNotFound => AddressError::NoHost,
        Error::BadUri(what) => AddressError::Protocol { problem: format!("no http address: {what}") },
        Error::Io(error) => AddressError::Io(same(error)),
        error => AddressError::Protocol { problem: error.to_string() },
    }
}

/// The same error, with its errno if it has one.
fn same(error: &io::Error) -> io::Error {
    let errno = error.raw_os_error().map(io::Error::from_raw_os_error);
    errno.unwrap_or_else(|| io::Error::new(error.kind(), error.to_string()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// Time enough for a slow machine.
    const SMALL: Limits =
        Limits { connect: Duration::from_secs(30), total: Duration::from_secs(30), body: 1 << 20 };

    /// Serves one connection after the other with `answer`, which gets the path.
    fn serve(answer: impl Fn(&str, &mut TcpStream) -> io::Result<()> + Send + 'static) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut request = Vec::new();
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|n| n == 1) {
                    request.push(byte[0]);
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                // A client that gave up does not read the rest.
                let _ = answer(request.split(' ').nth(1).unwrap_or(""), &mut stream);
            }
        });
        address
    }

    fn get_from(address: &str, limits: Limits) -> Result<Answer<Vec<u8>>, AddressError> {
        let read = |body: &mut dyn Read| {
            let mut bytes = Vec::new();
            body.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        get(&address.parse().unwrap(), None, limits, read)
    }

    #[test]
    fn bodies_of_every_kind() {
        let address = serve(|path, stream| match path {
            "/plain" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntext"),
            "/close" => write!(stream, "HTTP/1.0 200 OK\r\n\r\ntext"),
            "/chunked" => write!(
                stream,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nte\r\n2\r\nxt\r\n0\r\n\r\n"
            ),
            _ => write!(
                stream,
                "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /plain\r\nContent-Length: 0\r\n\r\n"
            ),
        });
        for path in ["/plain", "/close", "/chunked", "/elsewhere"] {
            let Answer::Ok(body) = get_from(&format!("{address}{path}"), SMALL).unwrap() else { panic!() };
            assert_eq!(body, b"text", "{path}");
        }
    }

    #[test]
    fn hostile_answers() {
        let address = serve(|path, stream| match path {
            "/status" => {
                write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 13\r\n\r\nnot \x1b here\nx")
            }
            "/short" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\ntext"),
            "/huge" => write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\ntext"),
            "/endless" => {
                write!(stream, "HTTP/1.1 200 OK\r\n\r\n")?;
                while stream.write_all(&[b'x'; 4096]).is_ok() {}
                Ok(())
            }
            "/headers" => {
                write!(stream, "HTTP/1.1 200 OK\r\n")?;
                while stream.write_all(b"X-More: of the same, and on and on\r\n").is_ok() {}
                Ok(())
            }
            "/slow" => {
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n")?;
                while stream.write_all(b"x").is_ok() {
                    thread::sleep(Duration::from_millis(50));
                }
                Ok(())
            }
            "/loop" => write!(
                stream,
                "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"
            ),
            "/file" => write!(
                stream,
                "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"
            ),
            "/gopher" => write!(
                stream,
                "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: gopher://127.0.0.1/\r\nContent-Length: 0\r\n\r\n"
            ),
            _ => write!(stream, "nonsense\r\n\r\n"),
        });
        let answer = get_from(&format!("{address}/status"), SMALL).unwrap();
        assert!(matches!(answer, Answer::Status(404, line) if line == "not \x1b here"));
        let short = Limits { total: Duration::from_secs(2), ..SMALL };
        for (path, limits, problem) in [
            ("/short", SMALL, "broke off after 4 of 400 announced bytes"),
            ("/huge", SMALL, "larger than 1 MiB"),
            ("/endless", SMALL, "larger than 1 MiB"),
            ("/headers", SMALL, ""),
            ("/slow", short, "no whole answer within"),
            ("/loop", SMALL, "redirected more than 5 times"),
            ("/file", SMALL, "redirected to file:///etc/passwd: no address"),
            ("/gopher", SMALL, "redirected to gopher://127.0.0.1/: no http address"),
            ("/nonsense", SMALL, ""),
        ] {
            let error = get_from(&format!("{address}{path}"), limits).unwrap_err().to_string();
            assert!(error.contains(problem), "{path}: {error}");
        }
        let refused = get_from("http://127.0.0.1:1/", SMALL).unwrap_err();
        assert!(refused.to_string().contains("refused"), "{refused}");
        let errno = |error| matches!(error, AddressError::Io(error) if error.raw_os_error() == Some(libc::ECONNREFUSED));
        assert!(errno(refused), "the errno is kept");
    }

    #[test]
    fn redirects_lead_to_addresses() {
        let lead = |from: &str, to: &str| {
            redirected(&from.parse().unwrap(), &HeaderValue::from_str(to).unwrap()).map(|uri| uri.to_string())
        };
        let from = "https://host:6060/debug/pprof/goroutine?debug=2";
        for (to, expected) in [
            ("/a", "https://host:6060/a"),
            ("a?b=c:d", "https://host:6060/debug/pprof/a?b=c:d"),
            ("?debug=1", "https://host:6060/debug/pprof/goroutine?debug=1"),
            ("//other/a#b", "https://other/a"),
            ("http://other:81/", "http://other:81/"),
        ] {
            assert_eq!(lead(from, to).unwrap(), expected, "{to}");
        }
        for to in
            ["http://other:99999/", "http://user@other/", "file:///etc/passwd", "http:///a", "ftp://a/", "//"]
        {
            assert!(lead(from, to).is_err(), "{to}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        for good in ["host", "host:1", "a-b.c_d:65535", "127.0.0.1:6060", "[::1]", "[::1]:6060"] {
            assert_eq!(check_host(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "host:",
            "host:0",
            "host:65536",
            "host:99999",
            "host:+80",
            "host:8o",
            "host:-1",
            "a:1:2",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]80",
            "[host]",
            "[]",
            "a b",
            "a%2e",
            "a\\b",
            "a@b",
        ] {
            assert!(check_host(bad).is_err(), "{bad}");
        }
    }
}
