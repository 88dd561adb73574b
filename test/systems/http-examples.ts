/** The worked examples of systems that bring their own types. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'

/** As the configuration puts environment variables into the file; nobody asks for changes unless a test does. */
export function example(name: 'hr' | 'scm', env: Readonly<Record<string, string>>): Record<string, unknown> {
  const file = new URL(`../../src/systems/http/examples/${name}.yaml`, import.meta.url)
  const text = readFileSync(file, 'utf8').replaceAll(
    /\$\{(\w+)\}/g,
    (_, variable: string) => env[variable] ?? '',
  )
  return { ...parse(text), timeout: '2s', pollEvery: '0s' }
}
