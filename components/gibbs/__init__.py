"""DeepFM's factorization machine by Gibbs sampling, its deep part on the samples; README.md has the maths."""
