/** Reads a contract that we publish, so that tests can hold both sides against it. */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { z } from 'zod'

export type ContractNode = { readonly [name: string]: ContractNode } & { readonly $ref?: string }

export interface Contract {
  /** A place in the document; references on the way are followed. */
  at(...names: string[]): ContractNode | undefined
  /** What a body of this request or answer must look like. */
  schemaOf(media: ContractNode | undefined): z.ZodType
}

export function readContract(file: URL): Contract {
  const document = parse(readFileSync(file, 'utf8')) as ContractNode
  const follow = (node: ContractNode | undefined): ContractNode | undefined =>
    node?.$ref ? at(...node.$ref.slice('#/'.length).split('/')) : node
  const at = (...names: string[]): ContractNode | undefined =>
    names.reduce<ContractNode | undefined>((node, name) => follow(node?.[name]), document)
  return {
    at,
    schemaOf(media) {
      const schema = media?.content?.['application/json']?.schema
      if (!schema) throw new Error('the contract gives no schema here')
      const text = JSON.stringify({ ...schema, $defs: at('components', 'schemas') })
      return z.fromJSONSchema(JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/')))
    },
  }
}
