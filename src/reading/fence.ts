/**
 * What makes "fresher than the last event" decidable: every invalidation applied on this node takes the next
 * position, and whatever is read remembers the position at which its fetch began. A value is current as long as
 * nothing that it depends on was invalidated later than that. The same comparison judges cached entries, fetches
 * that somebody wants to join, and answers that want to be cached, in every credential scope.
 *
 * Positions are this node's own and not the log's: a confirmed write invalidates too, with or without an event.
 */
export class Fence {
  #position = 0
  /** Everything that is not listed was invalidated here or earlier. */
  #floor = 0
  readonly #raised = new Map<Tag, number>()
  readonly #limit: number

  /** @param limit Tags remembered one by one; beyond it the oldest count as invalidated, which costs a fetch. */
  constructor(limit = 50_000) {
    this.#limit = limit
  }

  get position(): number {
    return this.#position
  }

  raise(tags: Iterable<Tag>): void {
    this.#position++
    for (const tag of tags) {
      // Taken out first, so that the map stays in the order of positions.
      this.#raised.delete(tag)
      this.#raised.set(tag, this.#position)
    }
    for (const [tag, position] of this.#raised) {
      if (this.#raised.size <= this.#limit) break
      this.#raised.delete(tag)
      this.#floor = position
    }
  }

  /** Whether something was invalidated after a fetch that began at `position`. */
  overtaken(tags: readonly Tag[], position: number): boolean {
    return tags.some((tag) => (this.#raised.get(tag) ?? this.#floor) > position)
  }
}

/** Names what can be invalidated; made in `tags.ts` only. */
export type Tag = string

/** Where and when a fetch began. */
export interface Mark {
  readonly position: number
  /** Milliseconds since 1970. What was fetched is at least as new. */
  readonly at: number
}
