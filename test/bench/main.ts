/** `npm run bench NAME -- OPTIONS` runs the benchmark in the folder NAME. */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

const [name = '', ...rest] = process.argv.slice(2)
const file = join(import.meta.dirname, name, 'run.ts')
if (name === '' || !existsSync(file)) {
  const names = readdirSync(import.meta.dirname, { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  )
  process.stderr.write(`Which benchmark? ${names.map((entry) => entry.name).join(', ')}\n`)
  process.exit(2)
}
process.argv = [process.argv[0] ?? 'node', file, ...rest]
await import(file)
