#!/usr/bin/env bash
# Downloads Apache Kafka for the tests into the cache folder, unless it is there, and prints the folder of its jars.
#
# tests/kafka/pom.xml says which version; Maven's configuration decides which repository it comes from. Every jar must have the
# checksum of tests/kafka/jars.sha256. After a change of pom.xml, UPDATE=1 writes that file anew.
set -euo pipefail
cd "$(dirname "$0")/../tests/kafka"

fail() { echo "fetch_kafka: $1" >&2; exit 1; }
command -v java > /dev/null || fail "java is missing: install a JRE 17 or newer (Debian: openjdk-17-jre-headless)"

# A folder per set of jars: a change of the pom or of a checksum is another one.
set_of_jars=$(cat pom.xml jars.sha256 | sha256sum | cut -c1-16)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/millrace/kafka/$set_of_jars
if [[ ! -d $folder || -n ${UPDATE:-} ]]; then
  command -v mvn > /dev/null || fail "mvn is missing: install Maven 3.8 or newer (Debian: maven)"
  mkdir -p "$(dirname "$folder")"
  draft=$(mktemp -d "$folder.XXXXXX")
  trap 'rm -rf "$draft"' EXIT
  echo "downloading Apache Kafka (about 43 MB)" >&2
  mvn --batch-mode --quiet --file pom.xml dependency:copy-dependencies -DoutputDirectory="$draft" >&2 || fail "Maven failed"
  if [[ -n ${UPDATE:-} ]]; then
    (cd "$draft" && LC_ALL=C sha256sum -- *.jar) > jars.sha256
    echo "wrote jars.sha256; run this again without UPDATE" >&2
    exit
  fi
  (cd "$draft" && sha256sum --check --strict --quiet) < jars.sha256 >&2 || fail "a jar has another checksum than in tests/kafka/jars.sha256"
  unexpected=$(cd "$draft" && printf '%s\n' * | grep -vxFf <(awk '{print $2}' "$OLDPWD/jars.sha256") || true)
  [[ -z $unexpected ]] || fail "not in tests/kafka/jars.sha256: $unexpected"
  # Another run may have been faster.
  [[ -d $folder ]] || mv --no-target-directory "$draft" "$folder"
fi
echo "$folder"
