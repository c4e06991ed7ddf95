//! Why there is no bucket.

/// What is wrong with how a bucket is named or described.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// The address can't be used.
    #[error("`{url}` names no bucket: {reason}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An option that is not known.
    #[error(
        "`{name}` is no option of a bucket: there are `access_key_id`, `secret_access_key`, `region`, \
         `endpoint` and `allow_http`"
    )]
    Option {
        /// Its name.
        name: String,
    },
    /// What is said about the service does not go together.
    #[error("the bucket's service is not described well enough")]
    Service {
        /// What is missing.
        source: object_store::Error,
    },
}
