/** Answers that the README promises: how they are compared, and how they are written down. */
import { readFileSync, writeFileSync } from 'node:fs'
import { expect } from 'vitest'

const file = new URL('../../README.md', import.meta.url)

/** `"…"` in an answer stands for what differs from run to run. */
export const expected = (answer = 'null'): unknown =>
  JSON.parse(answer, (_key, value) => (value === '…' ? expect.anything() : value))

/**
 * Writes down the answer that stands behind that text, where `README_UPDATE=1` asks for it: read them before you
 * commit them.
 */
export function update(question: string, shown: unknown): void {
  const text = readFileSync(file, 'utf8')
  const at = text.indexOf(question) + question.length
  const start = text.indexOf('```json\n', at) + '```json\n'.length
  const end = text.indexOf('\n```', start)
  writeFileSync(file, `${text.slice(0, start)}${compact(shown, '')}${text.slice(end)}`)
}

/** JSON with short objects and lists on one line. */
function compact(value: unknown, indent: string): string {
  const line = JSON.stringify(value, null, 1).replace(/\n\s*/g, ' ')
  if (typeof value !== 'object' || value === null || line.length + indent.length <= 110) return line
  const deeper = `${indent}  `
  const parts = Array.isArray(value)
    ? value.map((item) => `${deeper}${compact(item, deeper)}`)
    : Object.entries(value).map(([key, item]) => `${deeper}${JSON.stringify(key)}: ${compact(item, deeper)}`)
  const [open, close] = Array.isArray(value) ? '[]' : '{}'
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`
}
