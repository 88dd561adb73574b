#!/usr/bin/env node
// Plain JavaScript, so that an old Node can still say what is wrong instead of refusing to read TypeScript.
import module from 'node:module'

const [major = 0] = process.versions.node.split('.').map(Number)
if (major < 24) {
  process.stderr.write(
    `Tributary runs on Node 24; this is ${process.version}.\n` +
      'npm scripts use the Node 24 that "npm ci" installs from the package "node". If you called npm with\n' +
      '--ignore-scripts it was not linked: run "npm rebuild node", or start with a Node 24 of your own.\n',
  )
  process.exit(1)
}
module.enableCompileCache?.()
await import('./main.ts')
