/** An answer whose data is text already. */
import type { FormattedExecutionResult } from 'graphql'

/**
 * Data as JSON text. Stands in for the object where the host will only make text of it again; `JSON.stringify`
 * gives the same as ever, `stringifyAnswer` gives it without the detour.
 */
export class DataText {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  toJSON(): unknown {
    return JSON.parse(this.text)
  }
}

/** For Apollo Server's `stringifyResult`, and wherever else an answer becomes text. */
export function stringifyAnswer(
  result: Pick<FormattedExecutionResult, 'data' | 'errors' | 'extensions'>,
): string {
  const { data, errors, ...rest } = result
  if (!(data instanceof DataText)) return JSON.stringify(result)
  const before = errors ? `"errors":${JSON.stringify(errors)},` : ''
  const after = JSON.stringify(rest)
  return `{${before}"data":${data.text}${after === '{}' ? '' : `,${after.slice(1, -1)}`}}`
}
