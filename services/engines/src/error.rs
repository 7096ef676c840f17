//! How an engine fails. It knows no transport and its texts are for operators, never for callers.

/// The result of an engine.
pub type Result<T> = std::result::Result<T, StoreError>;

/// How an engine fails.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached or is too busy; the same call may succeed later.
    #[error("the store is currently unavailable")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It was asked for something it never takes: a bug of the asker.
    #[error("the store does not accept this: {0}")]
    Invalid(&'static str),
    /// What was read does not make sense.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
    /// It failed otherwise.
    #[error("the store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl StoreError {
    /// Wraps any failure that has no better name.
    pub fn failed(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Failed(source.into())
    }
}

/// SQLite's result codes that pass by themselves: BUSY, LOCKED, NOMEM, IOERR, FULL, CANTOPEN.
const PASSING: [i32; 6] = [5, 6, 7, 10, 13, 14];

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let passing = match &error {
            sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
            sqlx::Error::Database(database) => database
                .code()
                .and_then(|code| code.parse::<i32>().ok())
                // The low byte is the primary code, the rest refines it.
                .is_some_and(|code| PASSING.contains(&(code & 0xff))),
            _ => false,
        };
        if passing { Self::Unavailable(error.into()) } else { Self::Failed(error.into()) }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

/// What a caller gets to know: whether it is worth trying again. The rest is in the log, under an error id.
impl From<StoreError> for runwarden_kit::Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => {
                Self::unavailable("Runwarden's state cannot be reached now.").with_cause(error)
            }
            StoreError::Invalid(_) | StoreError::Corrupt(_) | StoreError::Failed(_) => Self::internal(error),
        }
    }
}
