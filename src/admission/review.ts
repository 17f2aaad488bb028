import { Ajv, type ErrorObject } from 'ajv'
import type { Outcome } from '../rules/judge.ts'
import { causeText, maxFindings } from '../rules/message.ts'

/** The part of an admission.k8s.io/v1 AdmissionReview's request that we read. */
export type AdmissionRequest = {
  uid: string
  kind: { group: string; version: string; kind: string }
  resource: { group: string; version: string; resource: string }
  subResource?: string
  /** Empty in a mutating review of an object with generateName. */
  name?: string
  namespace?: string
  operation: 'CREATE' | 'UPDATE' | 'DELETE' | 'CONNECT'
  userInfo?: { username?: string }
  /** CreateOptions or UpdateOptions; who applies says its name there. */
  options?: { fieldManager?: string } | null
  object?: unknown
  oldObject?: unknown
  dryRun?: boolean
}

/** One operation of a JSON patch (RFC 6902); we only ever add. */
export type PatchOperation = { op: 'add'; path: string; value: unknown }

/** What we have to say of a request. */
export type Answer = {
  allowed: boolean
  /** Set where it is about a kind that we have no rules for: then it should not have come here. */
  isUnhandled?: true
  /** Why it is refused, for the user. Lines are allowed here. */
  message?: string
  /** One line each. */
  warnings: readonly string[]
  /** What the rules found, for `details.causes`, log and metrics. */
  outcomes: readonly Outcome[]
  patch: readonly PatchOperation[]
  /** Kept in the API server's audit log. */
  auditAnnotations: Readonly<Record<string, string>>
}

const nothing = { warnings: [], outcomes: [], patch: [], auditAnnotations: {} } as const

export const allow = (answer: Partial<Omit<Answer, 'allowed' | 'message'>> = {}): Answer => ({
  ...nothing,
  ...answer,
  allowed: true,
})

export const deny = (message: string, answer: Partial<Omit<Answer, 'allowed' | 'message'>> = {}): Answer => ({
  ...nothing,
  ...answer,
  allowed: false,
  message,
})

/** The envelope only: what it carries is any kind of object, and is read where its kind is known. Nothing is coerced. */
const envelope = {
  type: 'object',
  required: ['apiVersion', 'kind', 'request'],
  properties: {
    apiVersion: { const: 'admission.k8s.io/v1' },
    kind: { const: 'AdmissionReview' },
    request: {
      type: 'object',
      required: ['uid', 'kind', 'resource', 'operation'],
      properties: {
        uid: { type: 'string', minLength: 1 },
        kind: {
          type: 'object',
          required: ['group', 'version', 'kind'],
          properties: { group: { type: 'string' }, version: { type: 'string' }, kind: { type: 'string' } },
        },
        resource: {
          type: 'object',
          required: ['group', 'version', 'resource'],
          properties: { group: { type: 'string' }, version: { type: 'string' }, resource: { type: 'string' } },
        },
        subResource: { type: 'string' },
        name: { type: 'string' },
        namespace: { type: 'string' },
        operation: { enum: ['CREATE', 'UPDATE', 'DELETE', 'CONNECT'] },
        userInfo: { type: 'object', properties: { username: { type: 'string' } } },
        options: { type: ['object', 'null'], properties: { fieldManager: { type: 'string' } } },
        dryRun: { type: 'boolean' },
      },
    },
  },
} as const

const ajv = new Ajv({ strict: true, allowUnionTypes: true })
const isReview = ajv.compile<{ request: AdmissionRequest }>(envelope)

/** The uid in a text that is no JSON, because it is cut off for one: in a review it comes first. */
const uidIn = (body: string): string => /"uid"\s*:\s*"([^"\\]{1,128})"/.exec(body.slice(0, 4096))?.[1] ?? ''

/** What a body is: a request that can be answered on its merits, or what is wrong with it and the uid to say so to. */
export type ParsedReview = { request: AdmissionRequest } | { uid: string; problem: string }

/** The uid of something that is no valid review, as far as it has one. */
const uidOf = (body: unknown): string => {
  const request = (body as { request?: { uid?: unknown } } | null)?.request
  return typeof request?.uid === 'string' ? request.uid : ''
}

/** Reads a request's body. Never throws: what is no review is answered too, since an HTTP error would be a way around us. */
export const parseReview = (body: string): ParsedReview => {
  if (body === '')
    return { uid: '', problem: 'the request has no body; it must be an AdmissionReview of admission.k8s.io/v1' }
  let review: unknown
  try {
    review = JSON.parse(body)
  } catch {
    // The parser's message quotes the body, which may hold what is secret.
    return { uid: uidIn(body), problem: `the body of ${body.length} characters is no JSON` }
  }
  if (isReview(review)) return { request: review.request }
  const [error] = isReview.errors as [ErrorObject]
  return {
    uid: uidOf(review),
    problem: `the body is no AdmissionReview of admission.k8s.io/v1: ${error.instancePath || 'it'} ${error.message}`,
  }
}

/** The review that answers a request. Its message and causes are what kubectl, Argo CD and Flux show. */
export const formatReview = (uid: string, answer: Answer): object => ({
  apiVersion: 'admission.k8s.io/v1',
  kind: 'AdmissionReview',
  response: {
    uid,
    allowed: answer.allowed,
    ...(answer.allowed
      ? {}
      : {
          status: {
            status: 'Failure',
            code: 403,
            reason: 'Forbidden',
            message: answer.message,
            details: {
              causes: answer.outcomes
                .filter(({ action }) => action === 'deny')
                .slice(0, maxFindings)
                .map((outcome) => ({ reason: outcome.rule, field: outcome.field, message: causeText(outcome) })),
            },
          },
        }),
    ...(answer.warnings.length === 0 ? {} : { warnings: answer.warnings }),
    ...(Object.keys(answer.auditAnnotations).length === 0 ? {} : { auditAnnotations: answer.auditAnnotations }),
    ...(answer.patch.length === 0
      ? {}
      : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(answer.patch)).toString('base64') }),
  },
})
