import java.io.*;
import java.lang.management.ManagementFactory;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.*;
import javax.xml.parsers.*;
import org.apache.xml.security.Init;
import org.apache.xml.security.signature.XMLSignature;
import org.apache.xml.security.signature.XMLSignatureInput;
import org.apache.xml.security.transforms.Transforms;
import org.apache.xml.security.transforms.params.XPathContainer;
import org.apache.xml.security.utils.ElementProxy;
import org.apache.xml.security.utils.XMLUtils;
import org.apache.xml.security.utils.resolver.ResourceResolver;
import org.apache.xml.security.utils.resolver.ResourceResolverContext;
import org.apache.xml.security.utils.resolver.ResourceResolverSpi;
import org.w3c.dom.*;

/** Apache Santuario as a witness: one command a line on standard input, fields apart by tabs, one answer a line. */
public class Santuario {
    static final String DS = "http://www.w3.org/2000/09/xmldsig#";

    public static void main(String[] arguments) throws Exception {
        Init.init();
        ResourceResolver.register(new Attachments(), true);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line; (line = in.readLine()) != null; System.out.flush()) {
            String[] f = line.split("\t", -1);
            try {
                if (f[0].equals("verify")) System.out.println(verify(f[1]) ? "sound" : "broken");
                else if (f[0].equals("verify-envelope")) System.out.println(verifyEnvelope(f));
                else if (f[0].equals("sign-envelope")) System.out.println(signEnvelope(f));
                else { sign(f); System.out.println("done"); }
            } catch (Exception error) {
                System.out.println("broken " + error.getClass().getSimpleName());
            }
        }
    }

    static Document parse(String path) throws Exception {
        DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
        factory.setNamespaceAware(true);
        factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
        return factory.newDocumentBuilder().parse(new File(path));
    }

    static X509Certificate certificate(InputStream in) throws Exception {
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(in);
    }

    static boolean verify(String path) throws Exception {
        Document document = parse(path);
        NodeList found = document.getElementsByTagNameNS(DS, "Signature");
        XMLSignature signature = new XMLSignature((Element) found.item(0), "", false);
        return signature.checkSignatureValue(signature.getKeyInfo().getX509Certificate());
    }

    /** sign, in, out, PKCS#8 key, certificate, prefix, SignedInfo C14N, signature, digest, reference C14N or "" */
    static void sign(String[] f) throws Exception {
        PrivateKey key = KeyFactory.getInstance("RSA")
            .generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(Paths.get(f[3]))));
        X509Certificate certificate = certificate(new ByteArrayInputStream(Files.readAllBytes(Paths.get(f[4]))));
        ElementProxy.setDefaultPrefix(DS, f[5]);
        Document document = parse(f[1]);
        XMLSignature signature = new XMLSignature(document, "", f[7], f[6]);
        document.getDocumentElement().appendChild(signature.getElement());
        Transforms transforms = new Transforms(document);
        transforms.addTransform(Transforms.TRANSFORM_ENVELOPED_SIGNATURE);
        if (!f[9].isEmpty()) transforms.addTransform(f[9]);
        signature.addDocument("", transforms, f[8]);
        signature.addKeyInfo(certificate);
        signature.sign(key);
        try (OutputStream out = new FileOutputStream(f[2])) {
            XMLUtils.outputDOM(document, out);
        }
    }

    static final String SOAP = "http://schemas.xmlsoap.org/soap/envelope/";
    static final String RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";
    static final String SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256";
    static final String C14N = "http://www.w3.org/TR/2001/REC-xml-c14n-20010315";
    static final Map<String, byte[]> parts = new LinkedHashMap<>();

    /** The attachments of the envelope at hand, for cid: references. */
    public static class Attachments extends ResourceResolverSpi {
        @Override public boolean engineCanResolveURI(ResourceResolverContext context) {
            return context.uriToResolve != null && context.uriToResolve.startsWith("cid:");
        }
        @Override public XMLSignatureInput engineResolveURI(ResourceResolverContext context) {
            return new XMLSignatureInput(parts.get(context.uriToResolve.substring(4)));
        }
    }

    static void attach(String[] f, int from) throws Exception {
        parts.clear();
        for (int at = from; at < f.length; at += 2) parts.put(f[at], Files.readAllBytes(Paths.get(f[at + 1])));
    }

    static DocumentBuilder builder;  // kept: to find and make one costs more than to verify

    static Document parse(byte[] octets) throws Exception {
        if (builder == null) {
            DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
            factory.setNamespaceAware(true);
            factory.setFeature("http://apache.org/xml/features/disallow-doctype-decl", true);
            builder = factory.newDocumentBuilder();
        }
        return builder.parse(new ByteArrayInputStream(octets));
    }

    /** The CPU time of this thread since begin, per turn, in nanoseconds; the compiler's own threads do not count. */
    static long perTurn(long begin, int turns) {
        return (ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - begin) / turns;
    }

    /** verify-envelope, how often, file, then Content-ID and file of each part: "sound" and nanoseconds per turn */
    static String verifyEnvelope(String[] f) throws Exception {
        byte[] octets = Files.readAllBytes(Paths.get(f[2]));
        attach(f, 3);
        int turns = Integer.parseInt(f[1]);
        long begin = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        for (int turn = turns; turn > 0; turn--) {
            Element found = (Element) parse(octets).getElementsByTagNameNS(DS, "Signature").item(0);
            XMLSignature signature = new XMLSignature(found, "", false);
            if (!signature.checkSignatureValue(signature.getKeyInfo().getX509Certificate())) return "broken";
        }
        return "sound " + perTurn(begin, turns);
    }

    /** sign-envelope, how often, in, out, PKCS#8 key, certificate, XPath, then the parts: "done", nanoseconds per turn */
    static String signEnvelope(String[] f) throws Exception {
        PrivateKey key = KeyFactory.getInstance("RSA")
            .generatePrivate(new PKCS8EncodedKeySpec(Files.readAllBytes(Paths.get(f[4]))));
        X509Certificate certificate = certificate(new ByteArrayInputStream(Files.readAllBytes(Paths.get(f[5]))));
        ElementProxy.setDefaultPrefix(DS, "ds");
        byte[] octets = Files.readAllBytes(Paths.get(f[2])), written = null;
        attach(f, 7);
        int turns = Integer.parseInt(f[1]);
        long begin = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        for (int turn = turns; turn > 0; turn--) {
            Document document = parse(octets);
            XMLSignature signature = new XMLSignature(document, "", RSA_SHA256, C14N);
            document.getElementsByTagNameNS(SOAP, "Header").item(0).appendChild(signature.getElement());
            Transforms transforms = new Transforms(document);
            transforms.addTransform(Transforms.TRANSFORM_ENVELOPED_SIGNATURE);
            XPathContainer xpath = new XPathContainer(document);
            xpath.setXPathNamespaceContext("SOAP", SOAP);
            xpath.setXPath(f[6]);
            transforms.addTransform(Transforms.TRANSFORM_XPATH, xpath.getElementPlusReturns());
            transforms.addTransform(C14N);
            signature.addDocument("", transforms, SHA256);
            for (String name : parts.keySet()) signature.addDocument("cid:" + name, null, SHA256);
            signature.addKeyInfo(certificate);
            signature.sign(key);
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            XMLUtils.outputDOM(document, out);
            written = out.toByteArray();
        }
        String answer = "done " + perTurn(begin, turns);
        Files.write(Paths.get(f[3]), written);
        return answer;
    }
}
