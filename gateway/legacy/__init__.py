"""What old systems speak: XML, SOAP and forms as JSON values, and back. Pure conversions."""
