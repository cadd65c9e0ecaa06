//! The scripted upstream of a run, as a control of its own.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::ensure;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use super::realtime::HELD_MODEL;
use crate::{
    load::{self, Connection},
    profile,
    scenario::Scenario,
    upstream::{Counts, behaviour::Behaviour},
};

/// A scripted upstream in a process of its own.
#[derive(Debug, Clone, Copy)]
pub struct Upstream {
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Upstream {
    /// Tells it how to behave in this scenario.
    pub(crate) async fn behaves(&self, scenario: &Scenario) -> anyhow::Result<()> {
        let behaviour = Behaviour {
            seed: scenario.seed,
            profile: Some(profile::shipped(&scenario.upstream.profile)?),
            faults: scenario.upstream.faults.clone(),
        };
        self.control(Method::POST, "/_behaviour", &json!(behaviour)).await?;
        self.control(Method::DELETE, "/_script", &Value::Null).await?;
        if let Some(sessions) = &scenario.sessions {
            let fault = json!({"echo": sessions.echo_every});
            let rule = json!({"path": "realtime", "model": HELD_MODEL, "times": u32::MAX, "fault": fault});
            self.control(Method::POST, "/_script", &rule).await?;
        }
        Ok(())
    }

    /// How often it drew which fault since it was told how to behave.
    pub(crate) async fn drawn(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let told = self.control(Method::GET, "/_behaviour", &Value::Null).await?;
        Ok(serde_json::from_value(told.get("drawn").cloned().unwrap_or_default())?)
    }

    /// What it has delivered.
    pub(crate) async fn counts(&self) -> anyhow::Result<Counts> {
        Ok(serde_json::from_value(self.control(Method::GET, "/_counts", &Value::Null).await?)?)
    }

    /// Breaks all connections that no session has.
    pub(crate) async fn hang_up(&self) -> anyhow::Result<()> {
        self.control(Method::POST, "/_hang_up", &Value::Null).await.map(drop)
    }

    async fn control(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut connection = Connection::open(self.addr).await?;
        let body = load::one_piece(body.to_string().into());
        let response = connection.ask(method, path, &[], body).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        ensure!(status == 200, "the upstream answers {status}: {}", String::from_utf8_lossy(&answer));
        Ok(serde_json::from_slice(&answer)?)
    }
}
