//! How far two regions are from each other, by their names alone.
//!
//! A region is a text of parts with `-` between them, such as `eu`, `eu-west-1`, `us-east` or `westeurope`; upper and
//! lower case are alike. From near to far:
//!
//! 1. the same name;
//! 2. the same beginning: the more parts two names share from the left, the nearer (`eu-west-1` is nearer to
//!    `eu-west-2` than to `eu-central-1`, and `eu` is as near to both);
//! 3. the same continent (`us-east` and `ca-central-1`, `eu-west-1` and `westeurope`);
//! 4. anything else, and a region that nobody has told.

/// How far a target is from where it is wanted; the smaller goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Distance(u8);

impl Distance {
    /// The same region.
    pub const SAME: Self = Self(0);
    /// Another part of the same continent.
    pub const SAME_CONTINENT: Self = Self(MOST_PARTS + 1);
    /// Elsewhere, or nobody knows where.
    pub const FAR: Self = Self(MOST_PARTS + 2);

    /// A number that is higher the farther it is.
    #[must_use]
    pub const fn rank(self) -> u8 {
        self.0
    }
}

impl Default for Distance {
    fn default() -> Self {
        Self::FAR
    }
}

/// Shared parts that are told apart; no cloud's names have more.
const MOST_PARTS: u8 = 8;

/// How far `at` is from `wanted`. Where nothing is wanted, everything is equally far.
#[must_use]
pub fn distance(wanted: Option<&str>, at: Option<&str>) -> Distance {
    let (Some(wanted), Some(at)) = (wanted, at) else { return Distance::FAR };
    if wanted.eq_ignore_ascii_case(at) {
        return Distance::SAME;
    }
    let shared = shared_parts(wanted, at);
    if shared > 0 {
        return Distance(MOST_PARTS + 1 - shared);
    }
    match (continent(wanted), continent(at)) {
        (Some(one), Some(other)) if one == other => Distance::SAME_CONTINENT,
        _ => Distance::FAR,
    }
}

/// Whether `at` lies in `wanted`: it is that region or a part of it, as `eu-west-1` is of `eu`.
#[must_use]
pub fn is_within(wanted: &str, at: &str) -> bool {
    let mut parts = at.split('-');
    wanted.split('-').all(|part| parts.next().is_some_and(|own| own.eq_ignore_ascii_case(part)))
}

/// From 0 to [`MOST_PARTS`].
fn shared_parts(one: &str, other: &str) -> u8 {
    let pairs = one.split('-').zip(other.split('-')).take(usize::from(MOST_PARTS));
    let shared = pairs.take_while(|(one, other)| !one.is_empty() && one.eq_ignore_ascii_case(other));
    shared.fold(0, |count, _| count + 1)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Continent {
    Europe,
    NorthAmerica,
    SouthAmerica,
    AsiaPacific,
    MiddleEast,
    Africa,
}

/// First parts of regions as the large clouds name them, and countries that providers name alone.
const FIRST_PARTS: &[(Continent, &[&str])] = &[
    (
        Continent::Europe,
        &["eu", "europe", "uk", "gb", "de", "fr", "ie", "nl", "se", "ch", "it", "es", "pl", "fi", "no"],
    ),
    (Continent::NorthAmerica, &["us", "usa", "ca", "mx", "na", "northamerica"]),
    (Continent::SouthAmerica, &["sa", "br", "southamerica", "latam"]),
    (
        Continent::AsiaPacific,
        &["ap", "apac", "asia", "jp", "kr", "in", "sg", "hk", "tw", "cn", "au", "nz", "australia"],
    ),
    (Continent::MiddleEast, &["me", "il", "ae", "qa"]),
    (Continent::Africa, &["af", "africa", "za"]),
];

/// What Azure's names, which have no parts, contain: `westeurope`, `eastus2`, `swedencentral`.
const CONTAINED: &[(Continent, &[&str])] = &[
    (
        Continent::Europe,
        &[
            "europe",
            "uksouth",
            "ukwest",
            "france",
            "germany",
            "sweden",
            "norway",
            "switzerland",
            "italy",
            "poland",
            "spain",
        ],
    ),
    (Continent::NorthAmerica, &["eastus", "westus", "centralus", "canada", "mexico"]),
    (Continent::SouthAmerica, &["brazil", "chile"]),
    (Continent::AsiaPacific, &["asia", "japan", "korea", "india", "australia", "newzealand", "indonesia", "malaysia"]),
    (Continent::MiddleEast, &["uae", "qatar", "israel"]),
    (Continent::Africa, &["africa"]),
];

fn continent(region: &str) -> Option<Continent> {
    let first = region.split('-').next().unwrap_or_default();
    let begins = |name: &&&str| name.eq_ignore_ascii_case(first);
    let named = FIRST_PARTS.iter().find(|(_, names)| names.iter().any(|name| begins(&name)));
    let contains = |name: &str| contains_ignoring_case(region, name);
    let named = named.or_else(|| CONTAINED.iter().find(|(_, names)| names.iter().any(|name| contains(name))));
    named.map(|(continent, _)| *continent)
}

fn contains_ignoring_case(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_ordered_from_near_to_far() {
        for (wanted, from_near_to_far) in [
            ("eu-west-1", ["EU-West-1", "eu-west-2", "eu-central-1", "europe-west4", "us-east-1"]),
            ("eu-west-1", ["eu-west-1", "eu-west", "eu", "swedencentral", "ap-southeast-2"]),
            ("us", ["us", "us-east-1", "ca-central-1", "eu", "sa-east-1"]),
            ("eastus2", ["eastus2", "us-east-1", "mars", "brazilsouth", "westeurope"]),
        ] {
            let distances = from_near_to_far.map(|at| distance(Some(wanted), Some(at)));
            assert!(distances.is_sorted(), "{wanted}: {distances:?}");
            assert_eq!(distances[0], Distance::SAME);
            assert_eq!(distances[4], Distance::FAR, "{wanted}");
        }
        assert!(distance(Some("eu-west-1"), Some("eu-west-2")) < distance(Some("eu-west-1"), Some("eu-north-1")));
        assert_eq!(distance(Some("westeurope"), Some("eu-west-1")), Distance::SAME_CONTINENT);
        assert_eq!(distance(None, Some("eu")), distance(Some("eu"), None), "unknown is far");
        assert_eq!(distance(Some(""), Some("-")), Distance::FAR);
    }

    #[test]
    fn a_region_lies_in_what_its_name_begins_with() {
        assert!(is_within("eu", "eu-west-1") && is_within("EU", "eu") && is_within("eu-west", "eu-west-1"));
        assert!(!is_within("eu-west-1", "eu") && !is_within("eu", "europe-west4") && !is_within("eu-w", "eu-west"));
    }
}
