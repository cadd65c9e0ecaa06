//! Where a conversation stays: each conversation has its own order of all targets, by a hash of both, so that
//! one that goes away moves only the conversations that were there (rendezvous hashing).

/// A conversation, or a target, as a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Name(u64);

impl Name {
    /// Of a text, such as a conversation's id. The same in every process and version.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self::of_parts(&[text.as_bytes()])
    }

    /// Of several parts, such as a provider's id and the name of a model.
    #[must_use]
    pub fn of_parts(parts: &[&[u8]]) -> Self {
        let mut hash = OFFSET;
        for part in parts {
            hash = part.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME));
            // What no text contains stands between them: `ab`, `c` is not `a`, `bc`.
            hash = (hash ^ 0xFF).wrapping_mul(PRIME);
        }
        Self(mixed(hash))
    }
}

/// FNV-1a's numbers for 64 bits.
const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

/// Stands for a weight of 0, so that targets of that weight have an order among themselves.
const LEAST_WEIGHT: f64 = 1e-9;

/// How gladly a conversation goes to a target: the highest of all wins. With weights, each target gets its
/// share of conversations; one of weight 0 gets them when there is no other.
#[must_use]
pub fn affinity(conversation: Name, target: Name, weight: u32) -> f64 {
    let hash = mixed(conversation.0 ^ target.0.rotate_left(32));
    #[expect(clippy::cast_precision_loss, reason = "53 bits are a fine draw")]
    let draw = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    // The weighted form of rendezvous hashing: exponential draws, of which the shortest comes first.
    -f64::from(weight).max(LEAST_WEIGHT) / draw.ln()
}

/// Spreads what differs in a few bits over all of them.
const fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn winner(conversation: &str, targets: &[(&str, u32)]) -> String {
        let affinity = |name: &str, weight| affinity(Name::of(conversation), Name::of(name), weight);
        let best = targets.iter().max_by(|a, b| affinity(a.0, a.1).total_cmp(&affinity(b.0, b.1))).unwrap();
        best.0.to_owned()
    }

    #[test]
    fn each_target_gets_its_share_and_keeps_it_when_another_goes() {
        let all = [("a", 1), ("b", 1), ("c", 2)];
        let mut counts = [0_u32; 3];
        for id in 0..4000 {
            let conversation = format!("conversation-{id}");
            let first = winner(&conversation, &all);
            let place = all.iter().position(|(name, _)| *name == first).unwrap();
            counts[place] += 1;
            if first != "b" {
                assert_eq!(winner(&conversation, &[("c", 2), ("a", 1)]), first, "it does not move without need");
            }
        }
        assert!(counts[..2].iter().all(|count| (880..1120).contains(count)), "{counts:?}");
        assert!((1880..2120).contains(&counts[2]), "{counts:?}");
        assert_ne!(Name::of_parts(&[b"ab", b"c"]), Name::of_parts(&[b"a", b"bc"]));
    }
}
