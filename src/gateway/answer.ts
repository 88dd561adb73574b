/** Answers outside of an operation, in GraphQL's form: so that a client has one way to read what went wrong. */
export interface ErrorBody {
  readonly errors: readonly { readonly message: string; readonly extensions: { readonly code: string } }[]
}

export const errorBody = (code: string, message: string): ErrorBody => ({
  errors: [{ message, extensions: { code } }],
})

/** Fastify's own complaints, by its error codes. */
export function requestError(error: { code?: string; statusCode?: number; message: string }): {
  status: number
  body: ErrorBody
} {
  switch (error.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return {
        status: 413,
        body: errorBody(
          'PAYLOAD_TOO_LARGE',
          'The request is longer than this gateway takes. Send less at once.',
        ),
      }
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return {
        status: 415,
        body: errorBody('UNSUPPORTED_MEDIA_TYPE', 'Send the request with content-type: application/json.'),
      }
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
      return { status: 400, body: errorBody('BAD_REQUEST', 'The request is not JSON. Send {"query": "…"}.') }
    default: {
      const status = error.statusCode ?? 500
      if (status >= 500)
        return { status, body: errorBody('INTERNAL_SERVER_ERROR', 'Something broke here; it was logged.') }
      return {
        status,
        body: errorBody('BAD_REQUEST', status === 404 ? 'There is nothing here.' : error.message),
      }
    }
  }
}
