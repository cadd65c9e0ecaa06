//! pricing-seed
