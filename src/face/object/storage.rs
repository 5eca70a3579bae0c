//! The storage of an object, as the runtime provides it
//! (<https://developers.cloudflare.com/durable-objects/api/sqlite-storage-api/>).

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;

// Our own bindings instead of those of the crate `worker`: it has no `transactionSync`, it sets an
// alarm only when a future is polled, and its cursors do not catch exceptions. Every function here
// catches them, because an exception that passes through wasm would end the instance.
#[wasm_bindgen]
extern "C" {
    /// A `DurableObjectStorage` with SQLite.
    pub(super) type Storage;

    #[wasm_bindgen(method, catch, js_name = transactionSync)]
    fn transaction_sync(
        this: &Storage,
        turn: &mut dyn FnMut() -> Result<(), JsValue>,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getAlarm)]
    pub(super) fn get_alarm(this: &Storage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setAlarm)]
    pub(super) fn set_alarm(this: &Storage, at: f64) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = deleteAlarm)]
    pub(super) fn delete_alarm(this: &Storage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = deleteAll)]
    pub(super) fn delete_all(this: &Storage) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, getter)]
    fn sql(this: &Storage) -> Result<Sql, JsValue>;

    type Sql;

    #[wasm_bindgen(method, catch, variadic)]
    fn exec(this: &Sql, statement: &str, parameters: &Array) -> Result<Cursor, JsValue>;

    type Cursor;

    #[wasm_bindgen(method, catch, js_name = toArray)]
    fn to_array(this: &Cursor) -> Result<Array, JsValue>;
}

impl Storage {
    /// Runs `turn` in a transaction, which is rolled back if it fails.
    pub(super) fn transaction<T, E>(
        &self,
        turn: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, E>, JsValue> {
        let mut turn = Some(turn);
        let mut outcome = None;
        let ended = self.transaction_sync(&mut || {
            let Some(turn) = turn.take() else {
                return Ok(());
            };
            let result = turn();
            let failed = result.is_err();
            outcome = Some(result);
            // An exception causes the rollback. The failure itself is returned by this function.
            if failed { Err(JsValue::NULL) } else { Ok(()) }
        });
        match (ended, outcome) {
            (_, Some(Err(failure))) => Ok(Err(failure)),
            (Ok(_), Some(done)) => Ok(done),
            (Err(thrown), _) => Err(thrown),
            (Ok(_), None) => {
                Err(JsError::new("transactionSync did not run the transaction").into())
            }
        }
    }

    /// The rows of a statement. A read must not create the table, because that would create the
    /// object. Without a table there are no rows.
    pub(super) fn query(
        &self,
        statement: &str,
        parameters: Parameters,
    ) -> Result<Vec<Columns>, JsValue> {
        let rows = self
            .sql()?
            .exec(statement, &parameters.0)
            .and_then(|cursor| cursor.to_array());
        match rows {
            Ok(rows) => Ok(rows.iter().map(Columns).collect()),
            Err(thrown) if is_no_table(&thrown) => Ok(Vec::new()),
            Err(thrown) => Err(thrown),
        }
    }
}

fn is_no_table(thrown: &JsValue) -> bool {
    Reflect::get(thrown, &"message".into())
        .ok()
        .and_then(|message| message.as_string())
        .is_some_and(|message| message.starts_with("no such table"))
}

/// The parameters of a statement, in order.
#[derive(Default)]
pub(super) struct Parameters(Array);

impl Parameters {
    pub(super) fn with(self, parameter: impl Into<JsValue>) -> Self {
        self.0.push(&parameter.into());
        self
    }

    /// SQL's NULL for `None`.
    pub(super) fn or_null(self, parameter: Option<impl Into<JsValue>>) -> Self {
        self.with(parameter.map_or(JsValue::NULL, Into::into))
    }
}

/// One row of the result of a statement.
pub(super) struct Columns(JsValue);

impl Columns {
    fn get(&self, column: &str) -> Result<JsValue, JsValue> {
        Reflect::get(&self.0, &column.into())
    }

    pub(super) fn optional_text(&self, column: &str) -> Result<Option<String>, JsValue> {
        Ok(self.get(column)?.as_string())
    }

    pub(super) fn text(&self, column: &str) -> Result<String, JsValue> {
        Ok(self.optional_text(column)?.unwrap_or_default())
    }

    /// `None` for SQL's NULL.
    pub(super) fn number(&self, column: &str) -> Result<Option<f64>, JsValue> {
        Ok(self.get(column)?.as_f64())
    }
}
