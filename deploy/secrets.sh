#!/usr/bin/env bash
# Makes the secrets that compose.yaml needs, beside it: .env, and identities.json for the S3. Each only once.
set -euo pipefail
umask 077
cd "$(dirname "$0")"

for made in .env identities.json; do
    [[ ! -e $made ]] || { echo "$PWD/$made is there already: remove it to make new secrets" >&2; exit 1; }
done

secret() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

service=$(secret)
packer=$(secret)
cat > .env <<END
POSTGRES_PASSWORD=$(secret)
GRAFANA_PASSWORD=$(secret)
SERVICE_SECRET_KEY=$service
PACKER_SECRET_KEY=$packer
END
cat > identities.json <<END
{
  "identities": [
    {
      "name": "service",
      "credentials": [{"accessKey": "service", "secretKey": "$service"}],
      "actions": ["Read:climb", "List:climb"]
    },
    {
      "name": "packer",
      "credentials": [{"accessKey": "packer", "secretKey": "$packer"}],
      "actions": ["Read:climb", "List:climb", "Write:climb"]
    }
  ]
}
END
