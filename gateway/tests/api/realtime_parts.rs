//! What tests of sessions share beside the helpers of every test.

use domain::ids::{RequestId, VirtualKeyId};
use domain::key::KeyHash;
use gateway::repositories::usage::{StoredUsage, find_by_request};

use crate::helpers::{Realtime, TestApp, soon};

impl TestApp {
    /// The key behind a secret, for what is asked after the key is gone.
    pub(crate) fn key_id(&self, secret: &str) -> VirtualKeyId {
        self.gateway.snapshot.load().keys[&KeyHash::of(&self.gateway.pepper, secret)].id
    }

    /// The records of a request, waited for.
    pub(crate) async fn records_of_key(&self, key: VirtualKeyId, id: RequestId) -> Vec<StoredUsage> {
        soon(async {
            loop {
                self.gateway.ledger.flush().await;
                let records = find_by_request(&self.gateway.database, key, id).await.unwrap();
                if !records.is_empty() {
                    return records;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }

    /// Waits until every session has ended.
    pub(crate) async fn no_session_left(&self) {
        soon(async {
            while !self.gateway.sessions.is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Realtime {
    /// Breaks the connection with a reset: nothing more is read, and nothing said.
    pub(crate) fn vanish(self) {
        let stream = self.socket.into_inner();
        stream.set_zero_linger().unwrap();
        drop(stream);
    }
}
