//! The faults of a history, by name.

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $text:literal;)*) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $name,)* }

        impl Fault {
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

faults! {
    OldCached "an old value from a location's cache";
    AbsenceCached "an absence from a location's cache";
    Behind "a write not seen at a location yet";
    WriterBlind "a write not seen at its own location";
    PutFailed "a put failed";
    PutFailedTaken "a put taken, reported as failed";
    PutLost "a put reported as taken, and lost";
    ReadFailed "a read failed";
    ListFailed "a listing failed";
    RateLimited "429 for a second write within a second";
    Quota "the daily quota spent";
    Outage "a location cut off from the store";
    ListLags "a listing behind the register";
    EndsEarly "a value gone before its time to live";
    EndsLate "a value there after its time to live";
    Slow "an operation of seconds";
    Stuck "an operation of nine seconds or more";
    Damaged "a value cut in half";
    Frozen "a request never run again";
    Dropped "a request dropped at an await";
    IsolateGone "an isolate evicted";
    AnswerLost "an answer lost";
    AnswerLate "an answer late";
    ClockStepped "a clock set";
    ClockFar "a clock an hour ahead";
    BrowserClosed "a browser closed";
    Stolen "a cookie copied";
}
