//! The JSON API: one session, its values and its life cycle.

use std::str::FromStr as _;

use ::worker::js_sys::{Date, decode_uri_component};
use ::worker::{Context, Env, Method, Request, Response};
use futures_util::StreamExt as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;
use wasm_bindgen::JsValue;

use super::{Problem, guard};
use crate::error::{ErrorCode, SessionError};
use crate::expiry::Expiry;
use crate::sessions::Sessions;
use crate::store::SessionStore;
use crate::value::Entries;

/// Most bytes of a body.
const BODY_MAX: usize = 64 * 1024;

/// What a request asks of its session.
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
        return match request.method() {
            Method::Get | Method::Head => json_response(r#"{"status":"ok"}"#),
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
    let sessions = Sessions::from_env(env)?;
    sessions
        .handle(
            request,
            ctx,
            async |_request, session: &mut SessionStore| {
                match act(action, &body, session, &sessions, demo).await {
                    // A refusal is the session's to answer; any other error is an answer like others,
                    // and depends on the session like them.
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

/// The action of a path and method.
fn find(path: &str, request: &Request, demo: bool) -> Result<Action, Problem> {
    let method = request.method();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let other = |allow| Err(Problem::Method { allow });
    match &segments[..] {
        ["api", "session"] => match method {
            Method::Get | Method::Head => Ok(Action::Show),
            Method::Delete => Ok(Action::Destroy),
            _ => other("GET, HEAD, DELETE"),
        },
        ["api", "session", "data"] => match method {
            Method::Patch => Ok(Action::Update),
            Method::Delete => Ok(Action::Clear),
            _ => other("PATCH, DELETE"),
        },
        ["api", "session", "data", key] => {
            let key = decode(key)?;
            match method {
                Method::Get | Method::Head => Ok(Action::ReadValue(key)),
                Method::Put => Ok(Action::PutValue(key)),
                Method::Delete => Ok(Action::RemoveValue(key)),
                _ => other("GET, HEAD, PUT, DELETE"),
            }
        }
        ["api", "session", "data", key, "pop"] => match method {
            Method::Post => Ok(Action::PopValue(decode(key)?)),
            _ => other("POST"),
        },
        ["api", "session", "flash", key] => match method {
            Method::Put => Ok(Action::PutFlash(decode(key)?)),
            _ => other("PUT"),
        },
        ["api", "session", "flash", key, "take"] => match method {
            Method::Post => Ok(Action::TakeFlash(decode(key)?)),
            _ => other("POST"),
        },
        ["api", "session", "expiry"] => match method {
            Method::Put => Ok(Action::SetExpiry),
            _ => other("PUT"),
        },
        ["api", "session", "cycle"] => match method {
            Method::Post => Ok(Action::Cycle),
            _ => other("POST"),
        },
        ["api", "sessions"] => match method {
            Method::Get | Method::Head => Ok(Action::ListSessions),
            Method::Delete => revoke_all(request),
            _ => other("GET, HEAD, DELETE"),
        },
        ["api", "sessions", key] => match method {
            Method::Delete => Ok(Action::RevokeSession(decode(key)?)),
            _ => other("DELETE"),
        },
        ["api", "login"] if demo => match method {
            Method::Post => Ok(Action::Login),
            _ => other("POST"),
        },
        ["api", "logout"] if demo => match method {
            Method::Post => Ok(Action::Logout),
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
            let value: Box<RawValue> = parse(body)?;
            session.set(&key, value)?;
        }
        Action::Update => {
            let Entries::<Box<RawValue>>(values) = parse(body)?;
            session.update(values)?;
        }
        Action::PopValue(key) => {
            let value: Box<RawValue> = session.pop(&key)?;
            session.save().await?;
            return json_response(value.get());
        }
        Action::PutFlash(key) => {
            let value: Box<RawValue> = parse(body)?;
            session.flash(&key, value)?;
        }
        Action::TakeFlash(key) => {
            let value: Option<Box<RawValue>> = session.take_flash(&key)?;
            let value = value.ok_or(Problem::NoValue(key))?;
            session.save().await?;
            return json_response(value.get());
        }
        Action::SetExpiry => session.set_expiry(expiry(body)?)?,
        Action::Cycle => session.cycle_key()?,
        Action::Login => session.bind(&login(body)?, true)?,
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
        Action::Logout => session.flush::<&str>([]).await?,
        Action::ListSessions => return list(session, sessions).await,
        Action::RevokeSession(key) => {
            sessions.revoke(owner(session)?, &key).await?;
            return Ok(Response::empty()?.with_status(204));
        }
        Action::RevokeAll { spare_current } => {
            let current = session.session_key().filter(|_| spare_current);
            sessions
                .revoke_all(owner(session)?, current.as_deref())
                .await?;
            return Ok(Response::empty()?.with_status(204));
        }
    }
    // Saved before it is shown: the answer tells the version that was stored.
    session.save().await?;
    show(session, demo)
}

/// The object of `GET /api/session`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'s> {
    key: Option<String>,
    is_new: bool,
    data: Entries<&'s RawValue>,
    version: u32,
    owner: Option<&'s str>,
    created_at: Option<String>,
    expires_at: Option<String>,
    idle_expires_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
}

fn show(session: &SessionStore, demo: bool) -> Result<Response, Problem> {
    let data = session
        .iter()?
        .map(|(key, text)| Ok((key.to_owned(), serde_json::from_str(text)?)))
        .collect::<Result<_, serde_json::Error>>()
        .map_err(|error| {
            let message = format!("a stored value is not JSON: {error}");
            SessionError::new(ErrorCode::Unavailable, message)
        })?;
    let exists = !session.is_new();
    let shown = Shown {
        key: session.session_key(),
        is_new: session.is_new(),
        data: Entries(data),
        version: session.version(),
        owner: session.owner()?,
        created_at: session.created_at().map(iso),
        expires_at: exists
            .then(|| session.get_expiry_date())
            .transpose()?
            .map(iso),
        idle_expires_at: if exists {
            session.idle_expires_at()?.map(iso)
        } else {
            None
        },
        outcome: demo.then(|| session.outcome().as_str()),
    };
    json_text(&shown)
}

fn json_text(value: &impl Serialize) -> Result<Response, Problem> {
    let text = serde_json::to_string(value).map_err(|error| {
        SessionError::new(
            ErrorCode::Unavailable,
            format!("the answer cannot be written: {error}"),
        )
    })?;
    json_response(&text)
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
        // Anything else may be meant to spare a session: nothing is ended on a guess.
        _ => Err(
            SessionError::invalid("the query is not understood here; \"except=current\" is").into(),
        ),
    }
}

fn owner(session: &SessionStore) -> Result<&str, Problem> {
    session.owner()?.ok_or(Problem::Unauthenticated)
}

/// One entry of `GET /api/sessions`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Device {
    current: bool,
    key: String,
    created: String,
    last_written: String,
    user_agent: Option<String>,
    place: Option<String>,
}

async fn list(session: &SessionStore, sessions: &Sessions) -> Result<Response, Problem> {
    let current = session.session_key();
    // The middle part of a session key is its lineage: the device, whatever its key is now.
    let lineage = |key: &str| key.split('.').nth(1).map(str::to_owned);
    let here = current.as_deref().and_then(lineage);
    let devices: Vec<Device> = sessions
        .list(owner(session)?)
        .await?
        .into_iter()
        .map(|listed| Device {
            current: lineage(&listed.key) == here,
            key: listed.key,
            created: iso(listed.created),
            last_written: iso(listed.last_written),
            user_agent: listed.user_agent,
            place: listed.place,
        })
        .collect();
    json_text(&devices)
}

/// The body of `PUT /api/session/expiry`.
fn expiry(body: &str) -> Result<Expiry, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(default, deserialize_with = "given")]
        seconds: Option<i64>,
        #[serde(default, deserialize_with = "given")]
        date: Option<String>,
        #[serde(default, deserialize_with = "given")]
        idle: Option<u32>,
    }

    /// What is given is no `null`: that is neither an end nor the default.
    fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
        value: D,
    ) -> Result<Option<T>, D::Error> {
        T::deserialize(value).map(Some)
    }

    match parse_object(body)? {
        Body {
            seconds: None,
            date: None,
            idle: None,
        } => Ok(Expiry::Default),
        Body {
            seconds: Some(seconds),
            date: None,
            idle: None,
        } => Ok(Expiry::from(seconds)),
        Body {
            seconds: None,
            date: None,
            idle: Some(idle),
        } => Ok(Expiry::Idle(idle)),
        Body {
            seconds: None,
            date: Some(date),
            idle: None,
        } => {
            let at = Date::parse(&date);
            if at.is_nan() {
                let message = format!("{date:?} is no date; write it as 2030-01-31T12:00:00Z");
                return Err(SessionError::invalid(message).into());
            }
            Ok(Expiry::At(at as i64))
        }
        _ => Err(SessionError::invalid(
            "give one of \"seconds\", \"date\" and \"idle\", or {} for the default",
        )
        .into()),
    }
}

/// The body of `POST /api/login`.
fn login(body: &str) -> Result<String, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        owner: String,
    }
    parse_object(body).map(|Body { owner }| owner)
}

fn parse<'b, T: Deserialize<'b>>(body: &'b str) -> Result<T, Problem> {
    serde_json::from_str(body).map_err(|error| {
        let message = format!("the body is not what it should be: {error}");
        match error.classify() {
            // JSON, but not of the form that is asked for.
            Category::Data => SessionError::invalid(message).into(),
            Category::Syntax | Category::Eof | Category::Io => Problem::InvalidJson(message),
        }
    })
}

/// As [`parse`], for a struct: serde would take an array of its fields too.
fn parse_object<T: for<'de> Deserialize<'de>>(body: &str) -> Result<T, Problem> {
    let _json: &RawValue = parse(body)?;
    if !body.trim_start().starts_with('{') {
        return Err(SessionError::invalid("the body is not a JSON object").into());
    }
    parse(body)
}

/// The text of a body, no longer than allowed, however it is sent.
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
        Problem::InvalidJson(format!("the body is not UTF-8: byte {at} is none of it"))
    })
}

/// A path segment, percent-decoded once.
fn decode(segment: &str) -> Result<String, Problem> {
    let decoded = decode_uri_component(segment).map_err(|_| {
        SessionError::invalid("the key in the address is not percent-encoded UTF-8")
    })?;
    Ok(String::from(decoded))
}

fn is_demo(env: &Env) -> bool {
    let demo = ::worker::js_sys::Reflect::get(env.as_ref(), &JsValue::from_str("DEMO"));
    demo.ok()
        .and_then(|demo| demo.as_string())
        .is_some_and(|demo| demo == "true" || demo == "1")
}

fn iso(milliseconds: i64) -> String {
    let date = Date::new(&JsValue::from_f64(milliseconds as f64));
    // Dates end in the year 275760 and `toISOString` throws after that; an instant here is at most
    // 2^48 ms, the year 10889.
    String::from(date.to_iso_string())
}

fn json_response(text: &str) -> Result<Response, Problem> {
    let response = Response::from_bytes(text.as_bytes().to_vec())?;
    response.headers().set("content-type", "application/json")?;
    Ok(response)
}
