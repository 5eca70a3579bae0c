//! The second world: sessions on a store that has transactions.
//!
//! * [`object`]: the objects, each a shard of a [`StrongMemory`](edge_session::connector::StrongMemory),
//!   and what goes wrong with calls to them; [`weather`]: how often;
//! * [`history`]: servers, clients and the way of each request between them; [`random`]: a history
//!   from a seed;
//! * [`truth`]: the checker. It sees every change of every row, and promises more than that of the
//!   first world: no update is lost, an ended session is dead when its user is told so, lists and
//!   limits are exact, and nothing is ever `pending` or `stale`. [`row`] reads what is stored.

pub mod history;
pub mod object;
pub mod random;
pub mod row;
pub mod tally;
pub mod truth;
pub mod weather;
