/** Pages in their styles, read one after the other; and places in them from which to go on later. */
import { SourceError } from '../failure.ts'
import type { Answer, Operation, SendOptions, SystemClient } from './client.ts'
import type { PagingConfig, RequestConfig } from './config.ts'
import { compileExpression, type Expression, listOf, textOf, type Vocabulary } from './expressions.ts'

/** Which page: what its request was given. */
export type Place =
  | { readonly page: number }
  | { readonly offset: number }
  | { readonly cursor: string | null }
  | { readonly link: string | null }
  | { readonly only: true }

export interface Page {
  readonly place: Place
  /** Records as the system gives them. */
  readonly items: readonly unknown[]
  readonly answer: Answer
  /** Null on the last page. */
  readonly next: Place | null
}

export interface Pages {
  readonly size: number | undefined
  readonly first: Place
  /** Page so many before or after, where pages can be counted. */
  neighbour(place: Place, by: number): Place | null
  /** @throws SourceError */
  read(place: Place, input: Readonly<Record<string, unknown>>, options: SendOptions): Promise<Page>
  /** All pages. @throws SourceError also where the pages come to no end */
  walk(input: Readonly<Record<string, unknown>>, options: SendOptions, from?: Place): AsyncGenerator<Page>
}

/** A system that forgets where it is would be asked for ever. */
const MAX_PAGES = 10_000

export function createPages(
  client: SystemClient,
  config: { readonly request: RequestConfig; readonly items: string; readonly paging: PagingConfig },
  vocabulary: Vocabulary,
): Pages {
  const { paging } = config
  const operation: Operation = client.operation(config.request)
  const items = compileExpression(config.items, vocabulary)
  const compile = (source: string | undefined): Expression | undefined =>
    source === undefined ? undefined : compileExpression(source, vocabulary)
  const [hasMore, total] =
    'hasMore' in paging || 'total' in paging ? [compile(paging.hasMore), compile(paging.total)] : []
  const next = 'next' in paging ? compile(paging.next) : undefined
  const size = 'size' in paging ? paging.size : undefined

  const counted = async (answer: Answer, seen: number, received: number): Promise<boolean> => {
    if (hasMore) return isTrue(await client.read(hasMore, answer))
    const all = total && Number(textOf(await client.read(total, answer)))
    if (all !== undefined && Number.isFinite(all)) return seen < all && received > 0
    return size !== undefined && received >= size
  }

  const following = async (place: Place, answer: Answer, received: number): Promise<Place | null> => {
    if ('page' in place) {
      const before = (place.page - ('page' in first ? first.page : 1)) * (size ?? 0)
      return (await counted(answer, before + received, received)) ? { page: place.page + 1 } : null
    }
    if ('offset' in place) {
      const seen = place.offset + received
      return (await counted(answer, seen, received)) ? { offset: seen } : null
    }
    if ('cursor' in place) {
      const cursor = textOf(next && (await client.read(next, answer)))
      return cursor === undefined ? null : { cursor }
    }
    if ('link' in place) {
      const link = next ? textOf(await client.read(next, answer)) : linkHeader(answer)
      return link === undefined ? null : { link }
    }
    return null
  }

  const first = firstPlace(paging)

  const read: Pages['read'] = async (place, input, options) => {
    const given = { ...input, ...('only' in place ? {} : place), ...(size === undefined ? {} : { size }) }
    const answer =
      'link' in place && place.link !== null
        ? await client.follow(operation, place.link, given, options)
        : await client.send(operation, given, options)
    const found = listOf(await client.read(items, answer))
    return { place, items: found, answer, next: await following(place, answer, found.length) }
  }

  return {
    size,
    first,
    neighbour(place, by) {
      if (by === 0) return place
      if ('page' in place) {
        const page = place.page + by
        return page < ('page' in first ? first.page : 1) ? null : { page }
      }
      if (!('offset' in place)) return null
      const offset = place.offset + by * (size ?? 1)
      return offset < 0 ? null : { offset }
    },
    read,
    async *walk(input, options, from = first) {
      let before = ''
      let count = 0
      for (let place: Place | null = from; place; ) {
        const page: Page = await read(place, input, options)
        // A system that overlooks the parameters answers with the first page again and again.
        const content = page.next && page.items.length > 0 ? JSON.stringify(page.items) : ''
        if ((content !== '' && content === before) || ++count > MAX_PAGES) throw standsStill(operation)
        before = content
        yield page
        place = page.next
      }
    },
  }
}

/** The system answers every page with the same one. */
export const standsStill = (operation: Operation | string): SourceError => {
  const path = typeof operation === 'string' ? operation : operation.path.source
  return new SourceError({
    kind: 'invalid-response',
    detail: `${path}: the pages come to no end; is "paging" right?`,
  })
}

function firstPlace(paging: PagingConfig): Place {
  switch (paging.style) {
    case 'page':
      return { page: paging.firstPage }
    case 'offset':
      return { offset: 0 }
    case 'cursor':
      return { cursor: null }
    case 'link':
      return { link: null }
    case 'none':
      return { only: true }
  }
}

export const isTrue = (value: unknown): boolean => value === true || value === 'true'

/** @see RFC 8288 section 3 */
function linkHeader({ headers }: Answer): string | undefined {
  const value = [headers.link ?? []].flat().join(', ')
  for (const [, target, parameters = ''] of value.matchAll(/<([^<>]*)>([^<]*)/g)) {
    if (/;\s*rel="?(?:[^",;]*\s)?next(?:\s[^",;]*)?"?/i.test(parameters)) return target
  }
  return undefined
}
