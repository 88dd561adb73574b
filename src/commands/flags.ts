/** The options of the command line, as text; what each means is in the usage of `main.ts`. */
export interface Flags {
  readonly config?: string
  readonly demo?: string
  readonly port?: string
  readonly remote?: readonly string[]
  readonly supergraph?: string
  readonly check?: boolean
  readonly url?: string
  readonly extensions?: boolean
  readonly key?: string
}
