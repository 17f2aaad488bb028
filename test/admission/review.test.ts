import t from 'tap'
import { allow, deny, formatReview, parseReview } from '../../src/admission/review.ts'
import type { Outcome } from '../../src/rules/judge.ts'
import { service } from '../support/objects.ts'
import { requestFor, reviewOf } from '../support/reviews.ts'

const request = requestFor(service('orders'))
const uid = '705ab4f5-6393-11e8-b7cc-42010a800002'
const noReview = 'the body is no AdmissionReview of admission.k8s.io/v1'

const without = (field: string) => Object.fromEntries(Object.entries(request).filter(([key]) => key !== field))

t.test('what is no review is told so, with the uid where there is one', async (t) => {
  const cases: [what: string, body: string, uid: string, problem: string][] = [
    ['an empty body', '', '', 'the request has no body; it must be an AdmissionReview of admission.k8s.io/v1'],
    ['no JSON', 'apiVersion: v1', '', 'the body of 14 characters is no JSON'],
    ['cut JSON', '{"request":', '', 'the body of 11 characters is no JSON'],
    [
      'a cut review',
      `{"request":{"uid":"${uid}","kind":`,
      uid,
      `the body of ${`{"request":{"uid":"${uid}","kind":`.length} characters is no JSON`,
    ],
    ['null', 'null', '', `${noReview}: it must be object`],
    ['a text', '"review"', '', `${noReview}: it must be object`],
    ['a list', '[]', '', `${noReview}: it must be object`],
    ['an empty object', '{}', '', `${noReview}: it must have required property 'apiVersion'`],
    [
      'an older version of the review',
      JSON.stringify({ ...reviewOf(request), apiVersion: 'admission.k8s.io/v1beta1' }),
      uid,
      `${noReview}: /apiVersion must be equal to constant`,
    ],
    [
      'another kind of object',
      JSON.stringify({ ...reviewOf(request), kind: 'TokenReview' }),
      uid,
      `${noReview}: /kind must be equal to constant`,
    ],
    [
      'no request',
      JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview' }),
      '',
      `${noReview}: it must have required property 'request'`,
    ],
    ['a request that is null', JSON.stringify(reviewOf(null)), '', `${noReview}: /request must be object`],
    ['no uid', JSON.stringify(reviewOf(without('uid'))), '', `${noReview}: /request must have required property 'uid'`],
    [
      'an empty uid',
      JSON.stringify(reviewOf({ ...request, uid: '' })),
      '',
      `${noReview}: /request/uid must NOT have fewer than 1 characters`,
    ],
    [
      'a uid that is a number',
      JSON.stringify(reviewOf({ ...request, uid: 7 })),
      '',
      `${noReview}: /request/uid must be string`,
    ],
    [
      'no kind',
      JSON.stringify(reviewOf(without('kind'))),
      uid,
      `${noReview}: /request must have required property 'kind'`,
    ],
    [
      'an unknown operation',
      JSON.stringify(reviewOf({ ...request, operation: 'PATCH' })),
      uid,
      `${noReview}: /request/operation must be equal to one of the allowed values`,
    ],
    [
      'a dry run that is a text',
      JSON.stringify(reviewOf({ ...request, dryRun: 'false' })),
      uid,
      `${noReview}: /request/dryRun must be boolean`,
    ],
  ]
  for (const [what, body, expectedUid, problem] of cases) {
    const parsed = parseReview(body)
    if ('request' in parsed) throw new Error(`${what} was taken for a review`)
    t.equal(parsed.uid, expectedUid, `${what}: the uid`)
    t.equal(parsed.problem, problem, what)
  }
})

t.test('a review gives its request, unknown fields and all', async (t) => {
  const sent = { ...request, requestKind: request.kind, options: { fieldManager: 'kubectl' } }
  t.strictSame(parseReview(JSON.stringify(reviewOf(sent))), { request: sent })
})

t.test('a key __proto__ is a key like any other', async (t) => {
  const body = JSON.stringify(reviewOf(request)).replace(
    '"metadata":{',
    '"metadata":{"annotations":{"__proto__":"x","constructor":{"prototype":"y"}},',
  )
  const parsed = parseReview(body)
  if (!('request' in parsed)) throw new Error(parsed.problem)
  const { annotations } = (parsed.request.object as { metadata: { annotations: object } }).metadata
  t.strictSame(Object.keys(annotations), ['__proto__', 'constructor'])
  t.equal(Object.getPrototypeOf(annotations), Object.prototype, 'no prototype was replaced')
})

const outcome: Outcome = {
  rule: 'service-port-80',
  field: 'spec.ports[0].port',
  about: '80',
  problem: 'port 80 is not for virtual hosts',
  reason: 'because',
  fix: 'use another port',
  action: 'deny',
}

t.test('an allowed review says no more than there is to say', async (t) => {
  t.strictSame(formatReview('u', allow()), {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: 'u', allowed: true },
  })
})

t.test('a patch is base64 of a JSON patch, and says so', async (t) => {
  const patch = [{ op: 'add', path: '/spec/externalIPs', value: ['240.240.0.1'] }] as const
  t.strictSame(formatReview('u', allow({ patch, warnings: ['w'], auditAnnotations: { address: '240.240.0.1' } })), {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid: 'u',
      allowed: true,
      warnings: ['w'],
      auditAnnotations: { address: '240.240.0.1' },
      patchType: 'JSONPatch',
      patch: 'W3sib3AiOiJhZGQiLCJwYXRoIjoiL3NwZWMvZXh0ZXJuYWxJUHMiLCJ2YWx1ZSI6WyIyNDAuMjQwLjAuMSJdfV0=',
    },
  })
})

t.test('a denial is a Forbidden status whose causes are what was denied, and nothing milder', async (t) => {
  const outcomes = [outcome, { ...outcome, rule: 'service-port-name', action: 'warn' as const }]
  t.strictSame(formatReview('u', deny('no\n- because', { outcomes })), {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: {
      uid: 'u',
      allowed: false,
      status: {
        status: 'Failure',
        code: 403,
        reason: 'Forbidden',
        message: 'no\n- because',
        details: {
          causes: [
            {
              reason: 'service-port-80',
              field: 'spec.ports[0].port',
              message: 'port 80 is not for virtual hosts. Fix: use another port',
            },
          ],
        },
      },
    },
  })
})
