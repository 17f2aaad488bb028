import type { Serving } from './serve.ts'

const review = (name: string, port: object): string =>
  JSON.stringify({
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid: name,
      kind: { group: '', version: 'v1', kind: 'Service' },
      resource: { group: '', version: 'v1', resource: 'services' },
      operation: 'CREATE',
      namespace: 'shop',
      name,
      object: { apiVersion: 'v1', kind: 'Service', metadata: { name, namespace: 'shop' }, spec: { ports: [port] } },
    },
  })

/** Who listens on all addresses is reached at the loopback one, which the certificate names. */
const reachable = (url: string): string => url.replace(/\/\/(0\.0\.0\.0|\[::\]):/, '//127.0.0.1:')

const command = ({ url, ca }: Serving, path: string, body: string, show: string): string =>
  `curl -sS --cacert ${ca?.file ?? 'CA.crt'} ${reachable(url)}${path} -d '${body}' | node -pe '${show}'`

/** What a newcomer reads when the webhook stands: where it is, and two commands to paste. */
export const standaloneGreeting = (serving: Serving): string => {
  const answer = 'r=JSON.parse(require("fs").readFileSync(0)).response;'
  return `
meshvip listens on ${serving.url}, with a cluster in memory. Ctrl-C ends it.
${serving.ca === undefined ? '' : `Its CA, new at each start: ${serving.ca.file}\n`}
Paste this in another terminal to see it refuse a Service, on port 80 and with a port name that says no protocol:

  ${command(serving, '/validate', review('bad', { name: 'web', port: 80 }), `${answer}r.status.message`)}

and this to see the address that it writes into a good one:

  ${command(serving, '/mutate', review('orders', { name: 'http-orders', port: 3111 }), `${answer}atob(r.patch)`)}

`
}

/** What is said where the webhook stands for a live cluster. */
export const greeting = ({ url, ca }: Serving): string =>
  `meshvip listens on ${url}${ca === undefined ? '' : `; its CA, new at each start, is ${ca.file}`}\n`
