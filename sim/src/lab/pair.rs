//! Two recordings of one script, one in each world, as one story.

use serde_json::{Map, Value, json};

use super::PLACES;
use super::stage::{self, Told, Words};

/// The names of the two worlds: as columns of the time line, and in parentheses.
const LANES: [&str; 2] = ["Workers KV", "Durable Objects"];
const SHORT: [&str; 2] = ["KV", "object"];

type Step = Map<String, Value>;

/// Both recordings as a file. The `place` of a step is its lane.
pub fn file(words: &Words, told: &[Told; 2]) -> String {
    let mut order: Vec<(usize, usize)> = Vec::new();
    for (lane, told) in told.iter().enumerate() {
        // The first and the last step are the same in both.
        order.extend((1..told.steps.len() - 1).map(|step| (lane, step)));
    }
    order.sort_by_key(|(lane, step)| told[*lane].steps[*step]["at"].as_i64());

    let mut at = [0, 0];
    let mut steps = vec![merged(told, at, &told[0].steps[0])];
    for (lane, step) in order {
        at[lane] = step;
        let mut shown = merged(told, at, &told[lane].steps[step]);
        if shown["kind"] == "sent" {
            let place = shown["place"].as_u64().unwrap_or_default() as usize;
            let short = shown["short"].as_str().unwrap_or_default();
            let short = short.replacen("asks", &format!("asks {}", PLACES[place]), 1);
            shown.insert("short".to_owned(), json!(short));
        }
        shown.insert("place".to_owned(), json!(lane));
        steps.push(shown);
    }
    let last = [0, 1].map(|lane: usize| told[lane].steps.len() - 1);
    let mut end = merged(told, last, &told[0].steps[last[0]]);
    end.insert("at".to_owned(), steps[steps.len() - 1]["at"].clone());
    steps.push(end);

    let browsers = told[0].browsers.iter();
    let browsers = browsers.flat_map(|name| SHORT.map(|short| format!("{name} ({short})")));
    let browsers: Vec<String> = browsers.collect();
    stage::file(
        words,
        &json!({ "lanes": LANES, "browsers": browsers }),
        steps,
    )
}

/// `step` with the state of both worlds at the steps `at`.
fn merged(told: &[Told; 2], at: [usize; 2], step: &Step) -> Step {
    let [one, other] = [0, 1].map(|lane: usize| &told[lane].steps[at[lane]]);
    let list = |step: &Step, name: &str| step[name].as_array().cloned().unwrap_or_default();

    let named = |step: &Step, short: &str| {
        let rows = list(step, "rows").into_iter();
        let rows = rows.map(|mut row| {
            let name = row["name"].as_str().unwrap_or_default();
            row["name"] = json!(format!("{name} ({short})"));
            row
        });
        rows.collect::<Vec<_>>()
    };
    let rows = [named(one, SHORT[0]), named(other, SHORT[1])].concat();

    let jars = list(one, "cookies").into_iter().zip(list(other, "cookies"));
    let jars: Vec<Value> = jars.flat_map(|(one, other)| [one, other]).collect();

    let busy = |step: &Step, place: usize, short: &str| {
        let busy = list(step, "running")[place].as_array().cloned();
        let busy = busy.unwrap_or_default().into_iter();
        let busy = busy.map(|who| format!("{} ({short})", who.as_str().unwrap_or_default()));
        busy.collect::<Vec<_>>()
    };
    let running =
        [0, 1].map(|place| [busy(one, place, SHORT[0]), busy(other, place, SHORT[1])].concat());

    let mut step = step.clone();
    step.insert("rows".to_owned(), json!(rows));
    step.insert("cookies".to_owned(), json!(jars));
    step.insert("running".to_owned(), json!(running));
    step
}
