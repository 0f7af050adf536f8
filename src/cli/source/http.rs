//! One GET request, with bounds on everything.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Uri;
use ureq::http::header::{AUTHORIZATION, HeaderValue};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Error};

/// How much and how long is borne.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Until there is a connection.
    pub(super) connect: Duration,
    /// From the request to the end of the body. Go writes a million goroutines in half a minute.
    pub(super) total: Duration,
    /// Bytes of the body.
    pub(super) body: u64,
}

/// Redirects that are followed.
const MAX_REDIRECTS: u32 = 5;
/// Bytes of an answer that tells of an error: its first line is shown.
const ERROR_BODY: u64 = 4096;
/// Characters shown of it.
const ERROR_SHOWN: usize = 200;

/// What came of a request that was answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// 200, and the body.
    Ok(Vec<u8>),
    /// Another status, and the first line of the body.
    Status(u16, String),
}

/// Asks for what is at an address.
///
/// # Errors
/// What happened, in words.
pub(super) fn get(uri: &Uri, authorization: Option<&HeaderValue>, limits: Limits) -> Result<Answer, String> {
    let explain = |error: &Error| explain(error, limits);
    let mut request = agent(limits).get(uri.clone());
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let mut response = request.call().map_err(|error| explain(&error))?;
    let status = response.status();
    if !status.is_success() {
        let mut body = Vec::new();
        // The status says enough where this fails.
        let _ = response.body_mut().as_reader().take(ERROR_BODY).read_to_end(&mut body);
        let body = String::from_utf8_lossy(&body);
        let line = body.lines().next().unwrap_or_default().trim().chars().take(ERROR_SHOWN).collect();
        return Ok(Answer::Status(status.as_u16(), line));
    }
    let announced = response.body().content_length();
    let too_large = || format!("the answer is larger than {} MiB", limits.body >> 20);
    if announced.is_some_and(|length| length > limits.body) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    let mut reader = response.body_mut().with_config().limit(u64::MAX).reader().take(limits.body + 1);
    reader.read_to_end(&mut body).map_err(|error| broken(error, body.len(), announced, limits))?;
    if body.len() as u64 > limits.body {
        return Err(too_large());
    }
    Ok(Answer::Ok(body))
}

fn agent(limits: Limits) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        // The certificates that this machine trusts, a company's own among them.
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider)
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(MAX_REDIRECTS)
        .max_redirects_will_error(true)
        .timeout_connect(Some(limits.connect))
        .timeout_global(Some(limits.total))
        .user_agent(concat!("loiter/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// The body broke off.
fn broken(error: io::Error, got: usize, announced: Option<u64>, limits: Limits) -> String {
    let of = announced.map_or(String::new(), |length| format!(" of {length} announced"));
    let why = match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(inner) => explain(inner, limits),
        None => error.to_string(),
    };
    format!("the answer broke off after {got}{of} bytes: {why}")
}

fn explain(error: &Error, limits: Limits) -> String {
    match error {
        Error::Timeout(ureq::Timeout::Connect) => {
            format!("no connection within {} s", limits.connect.as_secs_f64())
        }
        Error::Timeout(_) => format!("no whole answer within {} s", limits.total.as_secs_f64()),
        Error::HostNotFound => "there is no host of that name".to_owned(),
        Error::TooManyRedirects => format!("redirected more than {MAX_REDIRECTS} times"),
        Error::BadUri(what) => format!("no http address: {what}"),
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    const SMALL: Limits =
        Limits { connect: Duration::from_secs(5), total: Duration::from_secs(5), body: 1 << 20 };

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
                // Whoever gave up does not read the rest.
                let _ = answer(request.split(' ').nth(1).unwrap_or(""), &mut stream);
            }
        });
        address
    }

    fn get_from(address: &str, limits: Limits) -> Result<Answer, String> {
        get(&address.parse().unwrap(), None, limits)
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
        let short = Limits { total: Duration::from_millis(700), ..SMALL };
        for (path, limits, problem) in [
            ("/short", SMALL, "broke off after 4 of 400 announced bytes"),
            ("/huge", SMALL, "larger than 1 MiB"),
            ("/endless", SMALL, "larger than 1 MiB"),
            ("/headers", SMALL, ""),
            ("/slow", short, "no whole answer within"),
            ("/loop", SMALL, "redirected more than 5 times"),
            // Whatever is asked, it is asked of the server.
            ("/file", SMALL, "http parse fail"),
            ("/gopher", SMALL, "unknown scheme"),
            ("/nonsense", SMALL, ""),
        ] {
            let error = get_from(&format!("{address}{path}"), limits).unwrap_err();
            assert!(error.contains(problem), "{path}: {error}");
        }
        let refused = get_from("http://127.0.0.1:1/", SMALL).unwrap_err();
        assert!(refused.contains("refused"), "{refused}");
    }
}
