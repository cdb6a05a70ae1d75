//! Which keys of a namespace are live: who is there, page by page.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use openraft::base::BoxStream;
use ring::digest::{SHA256, digest};
use sessile_core::{GroupName, GroupNameError, SessionKey};
use sessile_store::{KeyList, ListedKey, StoreError, off_the_runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::managed::ManagedMember;
use super::namespaces::{id_of, invalid, prove};
use crate::membership::Author;
use crate::wire::{KeyStatus, ListKeysRequest, ListKeysResponse};

/// The most lists that a node makes at a time: each reads all records of a namespace from the disk, and keeps what merges
/// would remove.
const MAX_LISTS: usize = 1;
/// How long one may take: at the pace of one disk, all sessions of the largest sites.
const LONGEST: Duration = Duration::from_secs(600);
/// How much of a key's hash is shown, in bytes: enough to tell keys from each other.
const HASH_BYTES: usize = 8;

/// How many lists may be made.
pub(super) struct Lists(Arc<Semaphore>);

/// How keys are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// By a hash: who sees it can recognise a key that he knows, and not use one that he does not.
    Hashed,
    /// As they are, which stands in the history.
    Revealed,
}

/// A list that is being made.
struct Listing {
    list: KeyList,
    shown: Shown,
    counts_only: bool,
    give_up: Instant,
    _one_of: OwnedSemaphorePermit,
}

impl Default for Lists {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_LISTS)))
    }
}

impl Lists {
    /// The live keys of a namespace, or of one group of it, as they are when this is asked, page by page until the node stops.
    pub(super) async fn list(
        &self,
        member: &ManagedMember,
        author: &Author,
        request: ListKeysRequest,
        shown: Shown,
        stop: CancellationToken,
    ) -> Result<BoxStream<'static, Result<ListKeysResponse, Status>>, Status> {
        prove(member).await?;
        let namespace = id_of(member, &request.namespace)?;
        let group = request.group.as_ref().map(|name| GroupName::new(name.as_bytes()).ok_or(GroupNameError));
        let group = group.transpose().map_err(|error| invalid(&error))?;
        let one_of = self.0.clone().try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(
                "this node lists keys for somebody else; try again when that has ended, or at another",
            )
        })?;
        let state = member.group.state.clone();
        let begin = async {
            let begun = off_the_runtime(move || state.list_keys(namespace, group)).await;
            begun.map_err(|_| gave_up()).and_then(|begun| begun.map_err(|error| failed(&error)))
        };
        let list = match shown {
            Shown::Hashed => begin.await?,
            Shown::Revealed => {
                let what = match &request.group {
                    Some(group) => format!("show the keys of group {group} of the namespace {}", request.namespace),
                    None => format!("show the keys of the namespace {}", request.namespace),
                };
                member.changes.history().record(author, &what, begin, |_| "begun".to_owned()).await?
            }
        };
        let give_up = Instant::now() + LONGEST;
        let listing = Listing { list, shown, counts_only: request.count_only, give_up, _one_of: one_of };
        let pages = stream::unfold(Some(listing), |listing| async move { listing?.next().await });
        Ok(pages.take_until(stop.cancelled_owned()).boxed())
    }
}

type Page = Result<ListKeysResponse, Status>;

impl Listing {
    /// The next page, and what is left of the list; nothing at its end.
    async fn next(mut self) -> Option<(Page, Option<Self>)> {
        if Instant::now() >= self.give_up {
            return Some((Err(Status::deadline_exceeded("the list took too long; ask for one group of it")), None));
        }
        let read = off_the_runtime(move || {
            let page = self.list.next_page();
            (page, self)
        });
        match read.await {
            Ok((Ok(None), _)) => None,
            Ok((Ok(Some(page)), listing)) => Some((Ok(listing.told(&page)), Some(listing))),
            Ok((Err(error), _)) => Some((Err(failed(&error)), None)),
            Err(_) => Some((Err(gave_up()), None)),
        }
    }

    fn told(&self, page: &[ListedKey]) -> ListKeysResponse {
        let count = page.len() as u64;
        let clock = self.list.clock();
        let key = |listed: &ListedKey| KeyStatus {
            group: listed.key.group().to_owned(),
            hash: hash(&listed.key),
            key: match self.shown {
                Shown::Hashed => String::new(),
                Shown::Revealed => String::from_utf8_lossy(listed.key.as_bytes()).into_owned(),
            },
            bytes: listed.header.value_bytes,
            expires_in_ms: listed.header.expires_at.left(clock).map(millis),
        };
        let keys = if self.counts_only { Vec::new() } else { page.iter().map(key).collect() };
        ListKeysResponse { count, keys }
    }
}

/// The beginning of SHA-256 of a key, in hexadecimal digits. Session ids are long and random, so nobody finds one by it.
fn hash(key: &SessionKey) -> String {
    let digest = digest(&SHA256, key.as_bytes());
    digest.as_ref().iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn failed(error: &StoreError) -> Status {
    Status::internal(format!("the keys could not be read: {error}"))
}

fn gave_up() -> Status {
    Status::internal("reading the keys panicked; this is a defect")
}
