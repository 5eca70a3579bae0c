//! The JSON API: one session, its values and its life cycle.

use std::str::FromStr as _;
use std::time::SystemTime;

use ::worker::js_sys::{Date, decode_uri_component};
use ::worker::{Context, Env, Request, Response};
use futures_util::StreamExt as _;
use wasm_bindgen::JsValue;

use super::guard;
use super::problem::Problem;
use crate::face::handler::Given;
use crate::face::sessions::Sessions;
use crate::face::store::SessionStore;
use crate::port::error::SessionError;
use crate::port::time::milliseconds;
use crate::protocol::expiry::Expiry;
use crate::protocol::json;
use crate::protocol::json_object::Object;
use crate::protocol::keys::SessionKey;
use crate::session::value::check_depth;

/// The most bytes of a body.
const BODY_MAX: usize = 64 * 1024;

/// The action of a request.
enum Action {
    Show,
    ReadValue(String),
    PutValue(String),
    RemoveValue(String),
    PopValue(String),
    PutFlash(String),
    TakeFlash(String),
    Update,
    Clear,
    SetExpiry,
    Cycle,
    Destroy,
    Login,
    Reauthenticate,
    Logout,
    ListSessions,
    RevokeSession(String),
    RevokeAll { spare_current: bool },
}

/// Answers `request`.
pub(super) async fn route(
    mut request: Request,
    env: &Env,
    ctx: &Context,
) -> Result<Response, Problem> {
    let path = request.path();
    if path == "/healthz" {
        return match &*guard::method(&request) {
            "GET" | "HEAD" => json_response(r#"{"status":"ok"}"#),
            _ => Err(Problem::Method { allow: "GET, HEAD" }),
        };
    }
    if path == "/api/store" {
        return match &*guard::method(&request) {
            "GET" | "HEAD" => store(env),
            _ => Err(Problem::Method { allow: "GET, HEAD" }),
        };
    }
    let demo = is_demo(env);
    let action = find(&path, &request, demo)?;
    guard::check(&request)?;
    let body = match action {
        Action::PutValue(_)
        | Action::PutFlash(_)
        | Action::Update
        | Action::SetExpiry
        | Action::Login => read_body(&mut request).await?,
        _ => String::new(),
    };
    let sessions = Sessions::from_env(env)?.with_context(ctx);
    sessions
        .handle(
            request,
            ctx,
            async |_request, session: &mut SessionStore| {
                match act(action, &body, session, &sessions, demo).await {
                    // `handle` answers a refusal of the session. Any other error becomes a normal
                    // response, which depends on the session too.
                    Err(Problem::Session(error)) if error.code().is_refusal() => {
                        Err(Problem::Session(error))
                    }
                    Err(problem) => Ok(problem.into_response()?),
                    Ok(response) => Ok(response),
                }
            },
        )
        .await
}

/// Where this Worker keeps sessions, and the two numbers that its promises there depend on.
fn store(env: &Env) -> Result<Response, Problem> {
    let sessions = Sessions::from_env(env)?;
    let settings = sessions.settings();
    let mut store = Object::new();
    store.text("storage", settings.storage().as_str());
    for (name, span) in [
        ("stalenessBound", settings.staleness_bound()),
        ("window", settings.window()),
    ] {
        store.raw(name, &span.as_secs().to_string());
    }
    let response = json_response(&store.end())?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}

/// The action of a path and method.
fn find(path: &str, request: &Request, demo: bool) -> Result<Action, Problem> {
    let method = guard::method(request);
    let method = method.as_str();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let other = |allow| Err(Problem::Method { allow });
    match &segments[..] {
        ["api", "session"] => match method {
            "GET" | "HEAD" => Ok(Action::Show),
            "DELETE" => Ok(Action::Destroy),
            _ => other("GET, HEAD, DELETE"),
        },
        ["api", "session", "data"] => match method {
            "PATCH" => Ok(Action::Update),
            "DELETE" => Ok(Action::Clear),
            _ => other("PATCH, DELETE"),
        },
        ["api", "session", "data", key] => {
            let key = decode(key)?;
            match method {
                "GET" | "HEAD" => Ok(Action::ReadValue(key)),
                "PUT" => Ok(Action::PutValue(key)),
                "DELETE" => Ok(Action::RemoveValue(key)),
                _ => other("GET, HEAD, PUT, DELETE"),
            }
        }
        ["api", "session", "data", key, "pop"] => match method {
            "POST" => Ok(Action::PopValue(decode(key)?)),
            _ => other("POST"),
        },
        ["api", "session", "flash", key] => match method {
            "PUT" => Ok(Action::PutFlash(decode(key)?)),
            _ => other("PUT"),
        },
        ["api", "session", "flash", key, "take"] => match method {
            "POST" => Ok(Action::TakeFlash(decode(key)?)),
            _ => other("POST"),
        },
        ["api", "session", "expiry"] => match method {
            "PUT" => Ok(Action::SetExpiry),
            _ => other("PUT"),
        },
        ["api", "session", "cycle"] => match method {
            "POST" => Ok(Action::Cycle),
            _ => other("POST"),
        },
        ["api", "sessions"] => match method {
            "GET" | "HEAD" => Ok(Action::ListSessions),
            "DELETE" => revoke_all(request),
            _ => other("GET, HEAD, DELETE"),
        },
        ["api", "sessions", key] => match method {
            "DELETE" => Ok(Action::RevokeSession(decode(key)?)),
            _ => other("DELETE"),
        },
        ["api", "login"] if demo => match method {
            "POST" => Ok(Action::Login),
            _ => other("POST"),
        },
        ["api", "reauthenticate"] if demo => match method {
            "POST" => Ok(Action::Reauthenticate),
            _ => other("POST"),
        },
        ["api", "logout"] if demo => match method {
            "POST" => Ok(Action::Logout),
            _ => other("POST"),
        },
        _ => Err(Problem::NoRoute),
    }
}

async fn act(
    action: Action,
    body: &str,
    session: &mut SessionStore,
    sessions: &Sessions,
    demo: bool,
) -> Result<Response, Problem> {
    match action {
        Action::Show => return show(session, demo),
        Action::ReadValue(key) => {
            let text = session.get_json(&key)?.ok_or(Problem::NoValue(key))?;
            return json_response(&text);
        }
        Action::PutValue(key) => {
            session.put_json(&key, value(&key, body, sessions)?)?;
        }
        Action::Update => {
            let values = object(body)?.into_iter().map(|(key, text)| {
                let text = value(&key, text, sessions)?;
                Ok((key, text))
            });
            session.update_json(values.collect::<Result<_, Problem>>()?)?;
        }
        Action::PopValue(key) => {
            let text = session.pop_json(&key)?;
            session.save().await?;
            return json_response(&text);
        }
        Action::PutFlash(key) => {
            session.flash_json(&key, value(&key, body, sessions)?)?;
        }
        Action::TakeFlash(key) => {
            let text = session.pop_flash_json(&key)?;
            let text = text.ok_or(Problem::NoValue(key))?;
            session.save().await?;
            return json_response(&text);
        }
        Action::SetExpiry => session.set_expiry(expiry(body)?)?,
        Action::Cycle => session.cycle_key()?,
        Action::Login => session.bind(&login(body)?)?,
        Action::Reauthenticate => session.reauthenticate()?,
        Action::RemoveValue(key) => {
            session.remove(&key)?;
            return Ok(Response::empty()?.with_status(204));
        }
        Action::Clear => {
            session.clear()?;
            return Ok(Response::empty()?.with_status(204));
        }
        Action::Destroy => {
            session.destroy().await?;
            return Ok(Response::empty()?.with_status(204));
        }
        Action::Logout => session.flush().await?,
        Action::ListSessions => return list(session, sessions).await,
        Action::RevokeSession(key) => {
            sessions.revoke(owner(session)?, &key.parse()?).await?;
            return Ok(Response::empty()?.with_status(204));
        }
        Action::RevokeAll { spare_current } => {
            let current = session.session_key()?.filter(|_| spare_current);
            let owner = owner(session)?;
            match current {
                Some(current) => sessions.revoke_all_except(owner, &current).await?,
                None => sessions.revoke_all(owner).await?,
            }
            return Ok(Response::empty()?.with_status(204));
        }
    }
    // Save first, so that the response shows the stored version.
    session.save().await?;
    show(session, demo)
}

/// The object of `GET /api/session`.
fn show(session: &SessionStore, demo: bool) -> Result<Response, Problem> {
    let is_new = session.is_new()?;
    let exists = !is_new;
    let expires_at = exists.then(|| session.get_expiry_date()).transpose()?;
    let idle_expires_at = if exists {
        session.idle_expires_at()?
    } else {
        None
    };
    let mut shown = Object::new();
    let key = session.session_key()?;
    shown.nullable_text("key", key.as_ref().map(SessionKey::as_str));
    shown.boolean("isNew", is_new);
    let data = session.iter()?;
    shown.object("data", |out| {
        for (key, text) in data {
            out.entry(key, text);
        }
    });
    shown.number("version", session.version()?.into());
    shown.nullable_text("owner", session.owner()?);
    for (name, at) in [
        ("createdAt", session.created_at()?),
        ("expiresAt", expires_at),
        ("idleExpiresAt", idle_expires_at),
    ] {
        shown.nullable_text(name, at.map(iso).as_deref());
    }
    if demo {
        shown.text("outcome", session.outcome()?.as_str());
    }
    json_response(&shown.end())
}

/// `DELETE /api/sessions`, with `?except=current` or without.
fn revoke_all(request: &Request) -> Result<Action, Problem> {
    let url = request.inner().url();
    let query = url.split_once('?').map_or("", |(_, query)| query);
    match query {
        "" => Ok(Action::RevokeAll {
            spare_current: false,
        }),
        "except=current" => Ok(Action::RevokeAll {
            spare_current: true,
        }),
        // Another value may be meant to spare a session, so end nothing.
        _ => {
            Err(SessionError::invalid("unknown query; only \"except=current\" is supported").into())
        }
    }
}

fn owner(session: &SessionStore) -> Result<&str, Problem> {
    session.owner()?.ok_or(Problem::Unauthenticated)
}

/// `GET /api/sessions`.
async fn list(session: &SessionStore, sessions: &Sessions) -> Result<Response, Problem> {
    let current = session.session_key()?;
    // The middle part of a session key is its lineage, which identifies the device across new keys.
    let lineage = |key: &SessionKey| key.as_str().split('.').nth(1).map(str::to_owned);
    let here = current.as_ref().and_then(lineage);
    let mut devices = String::new();
    for listed in sessions.list(owner(session)?).await? {
        let current = lineage(&listed.key) == here;
        let mut device = Object::new();
        device.boolean("current", current);
        device.text("key", listed.key.as_str());
        device.text("created", &iso(listed.created));
        device.text("lastWritten", &iso(listed.last_written));
        device.nullable_text("userAgent", listed.user_agent.as_deref());
        device.nullable_text("place", listed.place.as_deref());
        devices.push(if devices.is_empty() { '[' } else { ',' });
        devices.push_str(&device.end());
    }
    if devices.is_empty() {
        devices.push('[');
    }
    devices.push(']');
    json_response(&devices)
}

/// True if `text` begins with a day of the calendar and a time, as in RFC 3339. JavaScript also accepts
/// texts such as "5" and the 31st of February.
fn is_date(text: &str) -> bool {
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u32>().ok().filter(|_| all)
    };
    let (Some(year), Some(month), Some(day)) = (number(0, 4), number(5, 7), number(8, 10)) else {
        return false;
    };
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let separators = [(4, "-"), (7, "-"), (10, "T"), (13, ":")];
    day <= days
        && separators
            .iter()
            .all(|&(at, mark)| text.get(at..=at) == Some(mark))
}

/// The body of `PUT /api/session/expiry`.
fn expiry(body: &str) -> Result<Expiry, Problem> {
    let members = object(body)?;
    let refused =
        |name: &str, wanted: &str| SessionError::invalid(format!("{name:?} must be {wanted}"));
    let mut expiry = Expiry::default();
    // Start with the end, and add the other parts.
    let ends = members
        .iter()
        .filter(|(name, _)| matches!(&**name, "seconds" | "date"));
    for (place, (name, value)) in ends.enumerate() {
        if place > 0 {
            let message = "pass one of \"seconds\" and \"date\" for the end, and only once";
            return Err(SessionError::invalid(message).into());
        }
        expiry = if name == "seconds" {
            number(value)
                .and_then(Expiry::after_seconds)
                .ok_or_else(|| refused(name, "a number of seconds"))?
        } else {
            let date = json::unquote(value).unwrap_or_default();
            let at = Date::parse(&date);
            if at.is_nan() || !is_date(&date) {
                let wanted = "a date, written as \"2030-01-31T12:00:00Z\"";
                return Err(refused(name, wanted).into());
            }
            Expiry::at(at as i64)
        };
    }
    let closes = expiry == Expiry::from(0);
    for (name, value) in members {
        expiry = match &*name {
            "seconds" | "date" => expiry,
            "idle" if value == "null" => expiry.no_idle(),
            "idle" => number(value)
                .and_then(|seconds| expiry.idle_seconds(seconds))
                .ok_or_else(|| {
                    refused(
                        &name,
                        "a number of seconds, 0 or more, or null for no limit",
                    )
                })?,
            "browserClose" if value == "true" => expiry.at_browser_close(),
            "browserClose" if value == "false" && closes => {
                let message = "\"seconds\": 0 means at browser close and contradicts \
                               \"browserClose\": false; leave one of them out";
                return Err(SessionError::invalid(message).into());
            }
            "browserClose" if value == "false" => expiry.outlives_browser(),
            "browserClose" => return Err(refused(&name, "true or false").into()),
            _ => {
                let message = format!(
                    "unknown member {name:?}; use \"seconds\" or \"date\", \"idle\" and \
                     \"browserClose\""
                );
                return Err(SessionError::invalid(message).into());
            }
        };
    }
    Ok(expiry)
}

/// A JSON number; infinite if it is too large.
fn number(value: &str) -> Option<f64> {
    value.parse().ok()
}

/// The body of `POST /api/login`.
fn login(body: &str) -> Result<String, Problem> {
    match &object(body)?[..] {
        [(name, value)] if name == "owner" => json::unquote(value),
        _ => None,
    }
    .ok_or_else(|| SessionError::invalid("the body must be {\"owner\": a string}").into())
}

/// `text` as a JSON value for `key`.
fn value(key: &str, text: &str, sessions: &Sessions) -> Result<String, Problem> {
    let text = parse(text)?;
    check_depth(key, text, sessions.settings().depth())?;
    Ok(text.to_owned())
}

/// The members of a body that is a JSON object.
fn object(body: &str) -> Result<Vec<(String, &str)>, Problem> {
    let body = parse(body)?;
    let members = json::members(body)
        .ok_or_else(|| SessionError::invalid("the body must be a JSON object"))?;
    let named = members.into_iter().map(|(name, value)| {
        let name = json::unquote(name).ok_or_else(|| {
            Problem::InvalidJson(format!("the name {name} contains half of a surrogate pair"))
        })?;
        Ok((name, value))
    });
    named.collect()
}

fn parse(body: &str) -> Result<&str, Problem> {
    json::parse(body).map_err(|at| {
        let before = body.get(..at).unwrap_or(body);
        let line = before.split('\n').count();
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |line| line.chars().count())
            + 1;
        let message = format!("the body is not valid JSON: see line {line}, column {column}");
        Problem::InvalidJson(message)
    })
}

/// The text of a body. Its length is limited however it is sent.
async fn read_body(request: &mut Request) -> Result<String, Problem> {
    let announced = request.headers().get("content-length")?;
    let announced = announced.and_then(|length| u64::from_str(&length).ok());
    if announced.is_some_and(|length| length > BODY_MAX as u64) {
        return Err(Problem::BodyTooLarge(BODY_MAX));
    }
    let mut body = Vec::new();
    // A request without a body has no stream.
    let Ok(mut stream) = request.stream() else {
        return Ok(String::new());
    };
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() > BODY_MAX {
            return Err(Problem::BodyTooLarge(BODY_MAX));
        }
    }
    String::from_utf8(body).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Problem::InvalidJson(format!("the body is not valid UTF-8: see byte {at}"))
    })
}

/// A path segment, percent-decoded once.
fn decode(segment: &str) -> Result<String, Problem> {
    let decoded = decode_uri_component(segment)
        .map_err(|_| SessionError::invalid("the key in the URL is not percent-encoded UTF-8"))?;
    Ok(String::from(decoded))
}

fn is_demo(env: &Env) -> bool {
    match Given::read(env.as_ref(), "DEMO") {
        Given::Text(demo) | Given::Scalar(demo) => demo == "true" || demo == "1",
        Given::Nothing | Given::Other(_) => false,
    }
}

fn iso(instant: SystemTime) -> String {
    let date = Date::new(&JsValue::from_f64(milliseconds(instant) as f64));
    // Dates end in the year 275760 and `toISOString` throws after that; an instant here is at most
    // 2^48 ms, the year 10889.
    String::from(date.to_iso_string())
}

fn json_response(text: &str) -> Result<Response, Problem> {
    let response = Response::from_bytes(text.as_bytes().to_vec())?;
    response.headers().set("content-type", "application/json")?;
    Ok(response)
}
