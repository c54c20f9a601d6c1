# What purser may do in Vault: read this one secret. Its own login it may renew and revoke by Vault's default policy.
path "secret/data/ci/github" {
  capabilities = ["read"]
}
