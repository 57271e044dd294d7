#!/bin/sh
# Build the part of three.js that the viewer's page holds, from the versions of package-lock.json.
# Needs npm and the network; the result is kept in the repository.
set -eu
cd "$(dirname "$0")"
npm ci --no-audit --no-fund
vendor=../../gemini_det3d/visualization/page/vendor
npx esbuild entry.mjs --bundle --minify --format=iife --global-name=THREE \
  --legal-comments=inline --outfile="$vendor/three.min.js"
cp node_modules/three/LICENSE "$vendor/three.LICENSE"
