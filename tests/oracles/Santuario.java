import java.io.*;
import java.nio.file.*;
import java.security.*;
import java.security.cert.*;
import java.security.spec.PKCS8EncodedKeySpec;
import javax.xml.parsers.*;
import org.apache.xml.security.Init;
import org.apache.xml.security.signature.XMLSignature;
import org.apache.xml.security.transforms.Transforms;
import org.apache.xml.security.utils.ElementProxy;
import org.apache.xml.security.utils.XMLUtils;
import org.w3c.dom.*;

/** Apache Santuario as a witness: one command a line on standard input, fields apart by tabs, one answer a line. */
public class Santuario {
    static final String DS = "http://www.w3.org/2000/09/xmldsig#";

    public static void main(String[] arguments) throws Exception {
        Init.init();
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        for (String line; (line = in.readLine()) != null; System.out.flush()) {
            String[] f = line.split("\t", -1);
            try {
                if (f[0].equals("verify")) System.out.println(verify(f[1]) ? "sound" : "broken");
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
}
