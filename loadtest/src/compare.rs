//! Several targets under the same scenario, in rounds, so that what the machine does meanwhile is not taken for a
//! difference between them.

use std::path::Path;

use anyhow::ensure;

use crate::{
    play::{self, Target, Upstream},
    result::Results,
    scenario::Scenario,
    sides,
};

/// What is compared.
#[derive(Debug)]
pub struct Options {
    /// The gateway's binary.
    pub antiphon: std::path::PathBuf,
    /// Other gateways, which have the scripted upstream as their provider already.
    pub others: Vec<Target>,
    /// How often each is measured.
    pub rounds: u32,
    /// Where the upstream listens; anywhere without it.
    pub upstream: Option<std::net::SocketAddr>,
}

/// Measures all targets, one after the other, in each round. Rounds begin with another target each, so that none is
/// always the one that comes after a certain other.
///
/// # Errors
/// When one of the programs does not start or the upstream cannot be controlled.
pub async fn run(scenario: &Scenario, options: &Options) -> anyhow::Result<Results> {
    let dir = tempfile::tempdir()?;
    let provider = sides::upstream(dir.path(), options.upstream)?;
    let upstream = Upstream { addr: provider.addr };
    let mut results = Results::new(scenario.clone());
    let mut targets = vec![Target::of(&provider)];
    let nginx = sides::nginx(dir.path(), provider.addr)?;
    match &nginx {
        Some(nginx) => targets.push(Target::of(nginx)),
        None => results.left_out.push(NO_NGINX.to_owned()),
    }
    let gateway = sides::antiphon(dir.path(), Path::new(&options.antiphon), provider.addr)?;
    targets.push(Target::of(&gateway));
    targets.extend(options.others.iter().cloned());
    for (number, target) in targets.iter().enumerate() {
        let taken = targets.iter().take(number).any(|other| other.name == target.name);
        ensure!(!taken, "--target: there is a target called {} already", target.name);
    }
    for round in 1..=options.rounds {
        for target in order(&targets, round) {
            results.runs.push(play::play(scenario, target, &upstream, round).await?);
        }
    }
    Ok(results)
}

const NO_NGINX: &str =
    "nginx is not installed (apt-get install nginx-light), so that there is no plain reverse proxy to compare with";

/// The targets in the order of a round.
fn order(targets: &[Target], round: u32) -> impl Iterator<Item = &Target> {
    let first = usize::try_from(round.saturating_sub(1)).unwrap_or(0) % targets.len().max(1);
    targets.iter().cycle().skip(first).take(targets.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_begins_with_another_target() {
        let targets = ["a", "b", "c"].map(|name| Target::new(name, "http://127.0.0.1:1", "k", None).unwrap());
        let names = |round| order(&targets, round).map(|target| target.name.as_str()).collect::<String>();
        assert_eq!([names(1), names(2), names(3), names(4)], ["abc", "bca", "cab", "abc"]);
    }
}
